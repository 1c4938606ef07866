"""The figures of a study: which there are, what they show in words, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cytolens.report import ranking_curves
from cytolens.report.ledger_page import ledger_figure
from cytolens.report.run_figures import Drawn, Plan, drawn, embedding_plan
from cytolens.report.run_folder import RunFolder
from cytolens.report.study.lines import Line, accuracy_of, shown_first
from cytolens.report.study.study import Cell, Study
from cytolens.report.study.weighing import Weighing
from cytolens.report.text import Score, bounds, number, percent, score_text
from cytolens.report.views.ledger import Ledger

LINES_A_FIGURE = 4  # of small matrices or curves, both protocols of each
_MANY_CLASSES = 5  # with more, half as many matrices a figure
EMBEDDINGS = 6  # at most, so that the page stays a page


def study_figures(
    study: Study, found: Sequence[Line], weighed: Weighing | None, ledger: Ledger | None
) -> dict[str, Drawn]:
    """Draw every figure that the study has data for into `figures/` and return them by name."""
    figures = ledger_figure(ledger, study.path) if ledger is not None else {}
    for plan, leaks in _plans(study, found, weighed):
        figures[plan.name] = drawn(plan, study.path, leaks)
    return figures


def names_of(figures: dict[str, Drawn], kind: str) -> list[str]:
    """Return the names of the figures of a kind, which are numbered or named after a cell."""
    return [name for name in figures if name.startswith(f"{kind}_")]


def _plans(
    study: Study, found: Sequence[Line], weighed: Weighing | None
) -> Iterator[tuple[Plan, bool]]:
    """Yield each plan, and whether all of its figure leaks; mixed figures stamp their parts."""
    if any(line.measured for line in found):
        yield _accuracies(found), False
    most = max((len(cell.metrics.get("classes") or []) for cell in study.cells), default=0)
    a_figure = LINES_A_FIGURE if most <= _MANY_CLASSES else LINES_A_FIGURE // 2
    for place, some in enumerate(_parted([x for x in found if _matrices(x)], a_figure)):
        yield _confusions(some, place + 1), False
    for place, some in enumerate(_parted([x for x in found if _histories(x)], LINES_A_FIGURE)):
        yield _curves(some, place + 1), False
    yield from _rocs(found)
    yield from _embeddings(found)
    if weighed is not None and any(_placed(row.accuracy) for row in weighed.rows):
        yield _weighing(weighed), False


def _placed(score: Score) -> bool:
    return bounds(score)[0] is not None


def _parted(found: Sequence[Line], size: int) -> list[Sequence[Line]]:
    return [found[i : i + size] for i in range(0, len(found), size)]


def _accuracies(found: Sequence[Line]) -> Plan:
    from cytolens.report.figures import accuracies

    rows = [
        accuracies.AccuracyRow(
            line.label,
            line.paper_accuracy,
            line.published.accuracy if line.published else None,
            line.honest.accuracy if line.honest else None,
        )
        for line in found
        if line.measured
    ]
    said = "; ".join(
        f"{row.label}: paper {percent(row.paper)}, "
        f"its protocol {percent(bounds(row.published)[0])}, honest {percent(bounds(row.honest)[0])}"
        for row in rows
    )
    caption = "What was run, beside the paper’s numbers (which come without intervals)."
    return Plan(
        "accuracies", caption, f"Dots with whiskers. {said}.", lambda: accuracies.draw(rows)
    )


def _matrices(line: Line) -> list[Cell]:
    return [cell for cell in line.cells if cell.metrics.get("confusion")]


def _confusions(some: Sequence[Line], place: int) -> Plan:
    from cytolens.report.figures import small_confusions

    panels = [
        small_confusions.Panel(
            line.model,
            _lines_below(line, cell),
            cell.metrics["confusion"],
            [str(name) for name in cell.metrics.get("classes") or []],
            cell.leaks,
        )
        for line in some
        for cell in _matrices(line)
    ]
    said = "; ".join(_in_words(panel.title, panel.below) for panel in panels)
    return Plan(
        f"confusions_{place}",
        "Images of a true class (down) by the class they were taken for (across); the deeper the "
        "blue, the larger the share of the true class.",
        f"Confusion matrices: {said}.",
        lambda: small_confusions.draw(panels),
    )


def _below(cell: Cell) -> str:
    value = percent(accuracy_of(cell))
    return f"its protocol (leaks), {value}" if cell.leaks else f"honest, {value}"


def _in_words(title: str, below: str) -> str:
    return f"{title}, {below}".replace("\n", ", ")


def _lines_below(line: Line, cell: Cell) -> str:
    return "\n".join(filter(None, (line.regime_label, _below(cell))))


def _histories(line: Line) -> list[tuple[Cell, RunFolder]]:
    return [(cell, cell.run) for cell in line.cells if cell.run is not None and cell.run.history]


def _curves(some: Sequence[Line], place: int) -> Plan:
    from cytolens.report.figures import small_curves, training

    panels, staged = [], False
    for line in some:
        for cell, run in _histories(line):
            stages = training.stages(run.history)
            staged = staged or len(stages) > 1
            below = _lines_below(line, cell)
            panels.append(small_curves.CurvePanel(line.model, below, stages[-1][1], cell.leaks))
    caption = "Accuracy and loss over the epochs, mean of the folds as far as all of them trained."
    if staged:
        caption += " Of contrastive runs, the classifier on the frozen encoder."
    said = "; ".join(_in_words(panel.title, panel.below) for panel in panels)
    return Plan(
        f"curves_{place}", caption, f"Training curves: {said}.", lambda: small_curves.draw(panels)
    )


def _rocs(found: Sequence[Line]) -> Iterator[tuple[Plan, bool]]:
    """Yield the curves of the line that the first screen speaks of, under both protocols."""
    line = shown_first(found)
    for cell in line.cells if line else ():
        if cell.run is not None and cell.run.scored is not None:
            yield _roc(cell, cell.run), cell.leaks


def _roc(cell: Cell, run: RunFolder) -> Plan:
    from cytolens.report.figures import roc

    scored = run.scored
    assert scored is not None
    per_class = run.metrics.get("per_class") or {}
    curves = []
    for index, name in enumerate(run.classes):
        curve = ranking_curves.roc(scored.probabilities[:, index], scored.labels == index)
        auc = (per_class.get(name, {}).get("auc") or {}).get("value")
        curves.append((name, curve, score_text({"value": auc})))
    how = "Its protocol" if cell.leaks else "Honest protocol"
    return Plan(
        f"roc_{cell.protocol}",
        f"{how}: {cell.model}, each class against the rest; AUC over all classes "
        f"{number(bounds(cell.metrics.get('auc'))[0])}.",
        "Area under the curve: " + ", ".join(f"{name} {text}" for name, _, text in curves) + ".",
        lambda: roc.draw(curves),
    )


def _embeddings(found: Sequence[Line]) -> Iterator[tuple[Plan, bool]]:
    """Yield the planes of the encoders, honest ones first."""
    cells = [
        (line, cell) for line in found for cell in line.cells
        if cell.run is not None and cell.run.embedding is not None
    ]  # fmt: skip
    cells.sort(key=lambda pair: pair[1].leaks)
    for place, (line, cell) in enumerate(cells[:EMBEDDINGS]):
        assert cell.run is not None and cell.run.embedding is not None
        plan = embedding_plan(cell.run.embedding, cell.run.classes)
        caption = f"{line.label}, {_below(cell)}. {plan.caption}"
        yield replace(plan, name=f"embedding_{place + 1}", caption=caption), cell.leaks


def _weighing(weighed: Weighing) -> Plan:
    from cytolens.report.figures import weighing

    said = "; ".join(
        f"{row.number} {row.label}: {row.percent}, {row.texts['parameters']} million parameters, "
        f"{row.texts['milliseconds']} ms"
        for row in weighed.rows
    )
    return Plan(
        "weighing",
        "Honest accuracy with its interval over what a model costs. Better is up and to the left.",
        f"Scatter. {said}.",
        lambda: weighing.draw(weighed.rows),
    )
