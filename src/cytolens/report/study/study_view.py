"""Everything that the sections of a study's report say, gathered."""

from __future__ import annotations

from dataclasses import dataclass

from cytolens.core.errors import InputError
from cytolens.report.run_figures import Drawn
from cytolens.report.study import (
    accuracies,
    classes,
    facts,
    headline,
    others,
    verdicts,
    weighing,
)
from cytolens.report.study.lines import Line, lines
from cytolens.report.study.study import Study
from cytolens.report.study.study_figures import names_of
from cytolens.report.views.ledger import Ledger, ledger_view

_LEDGER_PAGE = "ledger/ledger.html"


@dataclass(frozen=True)
class StudyView:
    """One study; what it has no data for is None or empty. `figures` are filled in when drawn."""

    title: str
    task: str
    lines: list[Line]
    headline: headline.Headline
    substitutions: list[str]
    notes: list[str]
    accuracies: accuracies.Accuracies
    classes: list[classes.ClassTable]
    matrices: list[verdicts.Matrix]
    ledger: Ledger | None
    ledger_page: str
    weighing: weighing.Weighing | None
    axes: tuple[tuple[str, str, float], ...]
    others: list[others.Other]
    facts: facts.Facts
    figures: dict[str, Drawn]

    def several(self, kind: str) -> list[str]:
        """Return the names of the figures of a kind."""
        return names_of(self.figures, kind)

    def nav(self) -> list[tuple[str, str]]:
        """Return (anchor, name) of the sections, in order."""
        present: list[tuple[str, str, object]] = [
            ("summary", "Summary", True),
            ("accuracies", "Paper and ours", True),
            ("classes", "Class by class", self.classes),
            ("confusions", "Confusion", self.several("confusions")),
            ("verdicts", "Which is better", self.matrices),
            ("ledger", "The leaks", self.ledger),
            ("curves", "Training", self.several("curves")),
            ("roc", "ROC", self.several("roc")),
            ("embedding", "Embedding", self.several("embedding")),
            ("weighing", "What models cost", self.weighing),
            ("others", "Other work", self.others),
            ("paper", "The paper", self.facts.system or self.facts.protocol or self.facts.tables),
            ("data", "The data", True),
            ("repeat", "How to repeat it", True),
        ]
        return [(anchor, name) for anchor, name, there in present if there]


def study_view(study: Study) -> StudyView:
    """Compute all sections; the figures are still missing."""
    found = lines(study)
    return StudyView(
        title=str(study.paper.get("title") or study.paper.get("name") or "Study"),
        task=str(study.paper.get("task") or ""),
        lines=found,
        headline=headline.headline(study, found),
        substitutions=study.substitutions,
        notes=study.notes,
        accuracies=accuracies.accuracies(study, found),
        classes=classes.class_tables(found),
        matrices=verdicts.matrices(study.comparisons, found),
        ledger=_ledger(study),
        ledger_page=_LEDGER_PAGE if (study.path / _LEDGER_PAGE).is_file() else "",
        weighing=weighing.weighing(study.complexity),
        axes=weighing.AXES,
        others=others.others(study, found),
        facts=facts.facts(study, found),
        figures={},
    )


def _ledger(study: Study) -> Ledger | None:
    """Return the ledger of leaks.

    Raises:
        InputError: a ledger that lacks what its table shows.
    """
    if not study.ledger or not study.ledger.get("rows"):
        return None
    try:
        return ledger_view(study.ledger)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"The ledger in {study.path / 'study.json'} cannot be read: {error!r}.",
            fix="run the command that made the study once more.",
        ) from error
