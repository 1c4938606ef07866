"""Finished runs, as `compare` and `fuse` read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.evaluation import Predictions
from cytolens.experiments.predictions_file import read_predictions


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder, metrics and pooled test predictions.

    Attributes:
        name: of the folder, with as many folders above it as it takes to be the only one.
    """

    name: str
    folder: Path
    metrics: dict[str, Any]
    predictions: Predictions

    @property
    def protocol(self) -> str:
        return str(self.metrics["protocol"])

    @property
    def leaks(self) -> list[str]:
        return [str(reason) for reason in self.metrics["leaks"]]

    @property
    def stamped(self) -> bool:
        """Whether every number of this run carries the stamp "leaks"."""
        return bool(self.leaks) or self.protocol == "published"

    @property
    def unit(self) -> str:
        """What its intervals resample: "group", "near-duplicate cluster" or "image"."""
        return str(self.metrics["interval"]["unit"])


def read_finished(folders: Sequence[Path]) -> list[Finished]:
    """Read two or more finished runs.

    Raises:
        InputError: fewer than two folders, one of them given twice, or one that holds no run.
    """
    places = [folder.resolve() for folder in folders]
    if twice := [str(place) for place, count in Counter(places).items() if count > 1]:
        raise InputError("A run is given more than once.", rows=twice)
    if len(places) < 2:
        raise InputError(f"{len(places)} run; two or more are needed.")
    return [_read(n, f) for n, f in zip(unique_names(places), folders, strict=True)]


def _read(name: str, folder: Path) -> Finished:
    metrics = read_json(folder / "metrics.json", "metrics of a run")
    wanted = ("protocol", "leaks", "classes", "interval")
    whole = isinstance(metrics, dict) and all(key in metrics for key in wanted)
    interval = metrics["interval"] if whole else None
    if not isinstance(interval, dict) or not {"unit", "resamples"} <= interval.keys():
        raise InputError(
            f"{folder / 'metrics.json'} is not the metrics of a run.",
            expected="a folder that `cytolens run` or `cytolens fuse` made",
        )
    classes = tuple(str(one) for one in metrics["classes"])
    return Finished(
        name, folder, metrics, read_predictions(folder / "predictions.parquet", classes)
    )


def unique_names(places: Sequence[Path]) -> list[str]:
    """Return the name of each of several different folders, with parents where they are alike."""
    deepest = max(len(place.parts) for place in places)
    depths = [1] * len(places)

    def names() -> list[str]:
        return ["/".join(p.parts[-d:]) for p, d in zip(places, depths, strict=True)]

    for _ in range(deepest):
        counts = Counter(names())
        if max(counts.values()) == 1:
            break
        depths = [d + (counts[n] > 1) for d, n in zip(depths, names(), strict=True)]
    return names()
