"""Everything that the sections of a run's report say, gathered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cytolens.report.run_figures import Drawn
from cytolens.report.run_folder import RunFolder, level_text
from cytolens.report.views import (
    asked,
    calibration,
    costs,
    data,
    doubt,
    explanations,
    headline,
    learning,
    limits,
    profile,
    repeat,
    results,
    samples,
    split,
    subgroups,
)
from cytolens.report.views.picture import Picture


@dataclass(frozen=True)
class RunView:
    """One run; what it has no data for is None or empty. `figures` are filled in when drawn."""

    title: str
    stamped: bool
    level: str
    headline: headline.Headline
    asked: asked.Asked
    data: data.Data | None
    saw: str
    samples: list[samples.Sample]
    sampled: str
    split: split.Split | None
    results: results.Results
    calibration: list[str]
    doubt: doubt.Doubt | None
    subgroups: list[subgroups.Subgroup]
    costs: costs.Costs | None
    explanations: explanations.View | None
    learning: learning.Learning | None
    profile: profile.Profile | None
    repeat: repeat.Repeat
    limits: list[str]
    figures: dict[str, Drawn]

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture that the sections show."""
        if self.data is not None:
            yield from self.data.pictures()
        for sample in self.samples:
            yield from sample.pictures()
        yield from self.results.pictures()
        if self.explanations is not None:
            yield from self.explanations.pictures()

    def nav(self) -> list[tuple[str, str]]:
        """Return (anchor, name) of the sections after the first, in order."""
        present: list[tuple[str, str, object]] = [
            ("asked", "What was asked", True),
            ("data", "Data and audit", self.data),
            ("inputs", self.saw, self.samples),
            ("split", "Split", self.split),
            ("results", "Results", True),
            ("calibration", "Calibration", "reliability" in self.figures),
            ("doubt", "How far to believe it", self.doubt),
            ("subgroups", "Subgroups", self.subgroups),
            ("costs", "Costs", self.costs),
            ("mistakes", "Surest mistakes", self.results.mistakes),
            ("explanations", "Explanations", self.explanations),
            ("training", self.learning.title if self.learning else "", self.learning),
            ("embedding", "Embedding", "embedding" in self.figures),
            ("profile", "Where the time went", self.profile),
            ("repeat", "How to repeat it", True),
            ("limits", "Limits", True),
        ]
        return [(anchor, name) for anchor, name, there in present if there]


def run_view(run: RunFolder) -> RunView:
    """Compute all sections of a run; the figures are still missing."""
    sample = samples.samples(run)
    return RunView(
        title=run_title(run),
        stamped=run.stamped,
        level=level_text(run),
        headline=headline.headline(run),
        asked=asked.asked(run),
        data=data.data(run),
        saw=samples.heading(run),
        samples=sample,
        sampled=samples.words(run, sample),
        split=split.split(run),
        results=results.results(run),
        calibration=calibration.calibration(run),
        doubt=doubt.doubt(run),
        subgroups=subgroups.subgroups(run),
        costs=costs.costs(run),
        explanations=explanations.explanations(run),
        learning=learning.learning(run),
        profile=profile.profile(run),
        repeat=repeat.repeat(run),
        limits=limits.limits(run),
        figures={},
    )


def run_title(run: RunFolder) -> str:
    """Return the name that the recipe gives, else the folder's."""
    return str(run.recipe.get("name") or run.path.resolve().name.removesuffix(".partial"))
