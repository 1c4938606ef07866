"""The drawn sample: what the model was given, and the augmented views of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cytolens.core.files import read_json
from cytolens.report.run_folder import RunFolder
from cytolens.report.views.method import classifier, classifier_features, draws_views, needs_weights
from cytolens.report.views.picture import Picture

_SHOWN = 6
_VIEWS = 5


@dataclass(frozen=True)
class Sample:
    """One input of the model and its views."""

    label: str
    id: str
    input: Picture
    views: list[Picture]

    def pictures(self) -> Iterator[Picture]:
        yield self.input
        yield from self.views


def samples(run: RunFolder) -> list[Sample]:
    """Return what `samples/index.json` lists; empty without it."""
    folder = run.path / "samples"
    if not (folder / "index.json").is_file():
        return []
    found = []
    for entry in read_json(folder / "index.json", "list of samples")[:_SHOWN]:
        label, name = str(entry["label"]), str(entry["id"])
        views = [
            Picture(folder / file, f"{label}, augmented view {v}")
            for v, file in enumerate(entry.get("views") or [], 1)
        ]
        first = Picture(folder / entry["input"], f"{label}, as the model gets it")
        found.append(Sample(label, name, first, views[:_VIEWS]))
    return found


def heading(run: RunFolder) -> str:
    if needs_weights(run):
        return "What the network saw"
    looks = classifier(run) and classifier_features(run) != "none"
    return "What the classifier saw" if looks else "Some images"


def words(run: RunFolder, found: list[Sample]) -> str:
    """Say what the pictures are, and whether training used such views."""
    said = "A drawn sample. Framed: the image after preprocessing."
    if not any(sample.views for sample in found):
        return said
    if draws_views(run):
        return f"{said} Beside it: the augmented views that training drew from it."
    if (run.recipe.get("expand") or {}).get("when", "never") != "never":
        return f"{said} Beside it: views drawn with the settings of the augmented copies."
    return f"{said} Beside it: augmented views, which this run did not train on."
