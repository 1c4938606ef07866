"""The drawn sample: what the network was given, and the augmented views of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cytolens.core.files import read_json
from cytolens.report.run_folder import RunFolder
from cytolens.report.views.picture import Picture

_SHOWN = 6
_VIEWS = 5


@dataclass(frozen=True)
class Sample:
    """One input of the network and its views."""

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
        first = Picture(folder / entry["input"], f"{label}, as the network gets it")
        found.append(Sample(label, name, first, views[:_VIEWS]))
    return found
