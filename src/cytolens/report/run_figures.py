"""All figures of a run: which there are, what they show in words, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from cytolens.report import ranking_curves
from cytolens.report.embedding import Embedding
from cytolens.report.ranking_curves import Curve
from cytolens.report.run_folder import RunFolder, level_text
from cytolens.report.svg import LARGEST, inline, is_wide
from cytolens.report.text import counted, percent_text, score_text, thousands
from cytolens.report.thumbnails import data_uri
from cytolens.report.views import subgroups as parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MATRIX = "Images, and their share of the true class (row)."


@dataclass(frozen=True)
class Plan:
    """A figure to be drawn: its file name, its caption, and its content in words (alt text).

    `scores` says whether it shows any, and so is stamped in a run that leaks.
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    scores: bool = True


@dataclass(frozen=True)
class Drawn:
    """A figure as it stands in the page; a `wide` one asks for both columns."""

    name: str
    caption: str
    html: Markup
    wide: bool


def run_figures(run: RunFolder, *, reuse: bool = False) -> dict[str, Drawn]:
    """Draw every figure that the run has data for into `figures/` and return them by name.

    Args:
        run: the run.
        reuse: take an SVG that lies there already, as an earlier report of this run wrote it.
    """
    found = {plan.name: drawn(plan, run.path, run.stamped, reuse=reuse) for plan in plans(run)}
    if "confusion_cheapest" in found:  # beside it, the decision of the results once more
        again = replace(_confusion(run), caption=f"Most probable class. {_MATRIX}")
        found["confusion_beside"] = drawn(again, run.path, run.stamped, reuse=True, within="beside")
    return found


def drawn(plan: Plan, folder: Path, leaks: bool, *, reuse: bool = False, within: str = "") -> Drawn:
    """Draw one figure into `folder`/figures and return it for the page.

    Args:
        plan: the figure.
        folder: the run's folder.
        leaks: whether the figure is stamped.
        reuse: take the SVG that lies there, if there is one.
        within: tells apart two figures of one name in a page.
    """
    target = folder / "figures"
    file = target / f"{plan.name}.svg"
    if reuse and file.is_file():
        svg = file.read_text(encoding="utf-8")
    else:
        from cytolens.report.figures import canvas

        with canvas.style(plan.name):
            svg = canvas.save(plan.draw(), target, plan.name, leaks=leaks and plan.scores)
    if len(svg) > LARGEST:
        picture = data_uri((target / f"{plan.name}.png").read_bytes(), "image/png")
        html = Markup('<img src="{}" alt="{}">').format(picture, plan.alt)
    else:
        html = inline(svg, within + plan.name, plan.alt)
    return Drawn(plan.name, plan.caption, html, is_wide(svg))


def plans(run: RunFolder) -> Iterator[Plan]:
    """Yield the figures that this run has data for."""
    if run.audit and run.audit.get("classes"):
        yield _balance(run.audit["classes"])
    if run.history:
        yield _training(run)
    if run.metrics.get("confusion"):
        yield _confusion(run)
    if run.metrics.get("per_class"):
        yield _per_class(run)
    if run.scored is not None:
        yield from _rankings(run)
    if any(row["n"] for row in run.metrics.get("reliability") or []):
        yield _reliability(run)
    for column, values in parts.columns(run).items():
        yield _subgroups(run, column, values)
    cheapest = (run.metrics.get("cost") or {}).get("cheapest") or {}
    if cheapest.get("confusion") and run.metrics.get("confusion"):
        yield _cheapest(run, cheapest["confusion"])
    if run.embedding is not None:
        yield embedding_plan(run.embedding, run.classes)


def _balance(counts: dict[str, int]) -> Plan:
    from cytolens.report.figures import balance

    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    caption = f"Images of each class, {counted(sum(counts.values()), 'image')} in all."
    return Plan("class_balance", caption, f"Bars: {said}.", lambda: balance.draw(counts), False)


def _training(run: RunFolder) -> Plan:
    from cytolens.report.figures import training

    stages = training.stages(run.history)
    folds = len({(line.get("repeat", 0), line["fold"]) for line in run.history})
    caption = "Loss and accuracy over the epochs."
    if len(stages) > 1:
        caption = "Above, the loss of the encoder; below, the classifier that was trained on it."
    if folds > 1:
        caption += (
            f" Thin: each of {folds} folds. Thick: their mean, as far as all of them trained."
        )
    if any(content.best for _, content in stages):
        caption += " Triangles: the epoch that was kept."
    lengths = " and ".join(f"{len(content.epochs)} epochs" for _, content in stages)
    alt = f"Lines of training and validation loss and accuracy over {lengths}."
    return Plan("training_curves", caption, alt, lambda: training.draw(stages))


def _confusion(run: RunFolder) -> Plan:
    caption = f"Confusion matrix: {_MATRIX[0].lower()}{_MATRIX[1:]}"
    return _matrix("confusion_matrix", caption, run.metrics["confusion"], run.classes)


def _cheapest(run: RunFolder, counts: list[list[int]]) -> Plan:
    return _matrix("confusion_cheapest", f"Cheapest class. {_MATRIX}", counts, run.classes)


def _matrix(name: str, caption: str, counts: list[list[int]], classes: Sequence[str]) -> Plan:
    from cytolens.report.figures import confusion

    right = sum(row[i] for i, row in enumerate(counts))
    total = sum(map(sum, counts))
    return Plan(
        name,
        caption,
        f"Matrix of true against predicted classes; {right} of {total} lie on the diagonal.",
        lambda: confusion.draw(counts, classes),
    )


def _per_class(run: RunFolder) -> Plan:
    from cytolens.report.figures import per_class

    scores = run.metrics["per_class"]
    recalls = ", ".join(
        f"{name} {score_text(scores.get(name, {}).get('recall'), 2)}" for name in run.classes
    )
    return Plan(
        "per_class",
        f"Recall, precision and F1 of each class, with {level_text(run)}s.",
        f"Dots with whiskers a class. Recall: {recalls}.",
        lambda: per_class.draw(scores, run.classes),
    )


def _rankings(run: RunFolder) -> Iterator[Plan]:
    from cytolens.report.figures import precision_recall, roc

    areas = _curves(run, ranking_curves.roc, "auc")
    yield Plan(
        "roc",
        "ROC curves, each class against the rest, with the area under the curve.",
        "Area under the curve: " + ", ".join(f"{name} {text}" for name, _, text in areas) + ".",
        lambda: roc.draw(areas),
    )
    averages = _curves(run, ranking_curves.precision_recall, "average_precision")
    yield Plan(
        "precision_recall",
        "Precision over recall, each class against the rest, with the average precision.",
        "Average precision: " + ", ".join(f"{name} {text}" for name, _, text in averages) + ".",
        lambda: precision_recall.draw(averages),
    )


def _curves(
    run: RunFolder, curve: Callable[..., Curve | None], key: str
) -> list[tuple[str, Curve | None, str]]:
    """Return (class, curve, score as text) of each class."""
    scored = run.scored
    assert scored is not None
    per_class = run.metrics.get("per_class") or {}
    found = []
    for index, name in enumerate(run.classes):
        value = per_class.get(name, {}).get(key)
        text = score_text({"value": (value or {}).get("value")})
        found.append((name, curve(scored.probabilities[:, index], scored.labels == index), text))
    return found


def _reliability(run: RunFolder) -> Plan:
    from cytolens.report.figures import reliability

    ece = score_text(run.metrics.get("ece"))
    in_points = percent_text(run.metrics.get("ece"))
    return Plan(
        "reliability",
        "Reliability: how often the model was right (dots) where it claimed this much "
        "confidence; on the dotted line claim and truth agree. The larger the dot, the more "
        "images; below, their number.",
        f"Accuracy over confidence. Expected calibration error {in_points}.",
        lambda: reliability.draw(run.metrics["reliability"], ece),
    )


def _subgroups(run: RunFolder, column: str, values: Mapping[str, Mapping[str, Any]]) -> Plan:
    from cytolens.report.figures import per_class

    names, noun = parts.in_order(values), parts.noun(column)
    said = ", ".join(f"{name} {score_text(values[name].get('accuracy'), 2)}" for name in names)
    return Plan(
        parts.figure_name(column),
        f"Scores by {noun}, with {level_text(run)}s.",
        f"Dots with whiskers by {noun}. Accuracy: {said}.",
        lambda: per_class.draw(values, names, parts.SCORES),
    )


def embedding_plan(embedding: Embedding, classes: Sequence[str]) -> Plan:
    """Return the figure of an embedding; its caption says what may be read from it."""
    from cytolens.report.figures import embedding as scatter

    method, count = embedding.method or "a projection", len(embedding.labels)
    shown = [name for name in classes if name in embedding.labels]
    some = counted(embedding.images, "image")
    if embedding.images > count:
        some = f"{thousands(count)} of {some}"
    caption = (
        f"The {embedding.part} part of the first fold ({some}) as the encoder places it, brought "
        f"into the plane by {method}. Dots that lie close were close for the encoder too"
    )
    if method == "t-SNE":
        caption += "; how far apart distant clusters lie, and how large they are, means little"
    return Plan(
        "embedding",
        f"{caption}.",
        f"Scatter of {counted(count, 'image')} of the classes {', '.join(shown)}.",
        lambda: scatter.draw(embedding.xy, embedding.labels, classes),
    )
