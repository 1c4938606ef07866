"""A finished run as its explanation needs it: the bundle, and the test images of its fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle import Bundle, load_bundle
from cytolens.core.errors import InputError
from cytolens.data.reading import ImageProblem, read_image
from cytolens.evaluation import Predictions
from cytolens.experiments.predictions_file import read_predictions
from cytolens.explain.judgement import region_codes
from cytolens.report.run_folder import RunFolder, read_run


@dataclass(frozen=True)
class Tested:
    """A run with its bundle.

    Attributes:
        fold, repeat: of the bundle's model: the first fold.
        predictions: of this fold's test images, offline copies left out.
    """

    run: RunFolder
    bundle: Bundle
    fold: int
    repeat: int
    predictions: Predictions

    def pixels(self, ids: list[str]) -> list[NDArray[np.uint8]]:
        """Return images as they were read, uint8 [h, w, 3].

        Raises:
            InputError: some cannot be read (all of them at once).
        """
        found, problems = [], []
        for name in ids:
            path = self.run.index.file(name)
            try:
                if path is None:
                    problems.append(f"{name} is not in the run's manifest")
                else:
                    found.append(read_image(path))
            except ImageProblem as problem:
                problems.append(f"{name} {problem.reason}")
        if problems:
            raise InputError(
                f"{len(problems)} of {len(ids)} test images of {self.run.path} cannot be read.",
                rows=problems,
                expected=f"the images where {self.run.path / 'manifest.csv'} says they are",
                fix="put them back, or run the recipe again.",
            )
        return found

    def mask(self, name: str, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return an image's drawn parts at the network's size, uint8 [H, W]: 0 background, 1
        cytoplasm, 2 nucleus; None without a mask.

        Args:
            shape: height and width of the image as it was read.
        """
        drawn = self.run.index.value(name, "mask")
        if drawn is None:
            return None
        card = self.bundle.card
        return region_codes(self.run.path / drawn, card.pixels, card.size, shape)


def read_tested(path: Path) -> Tested:
    """Read a run whose network is to be explained.

    Raises:
        InputError: no finished run, or one without a network of its own.
    """
    if not (path / "metrics.json").is_file() and (path / "bundle.json").is_file():
        raise InputError(
            f"{path} is a bundle, not a run: it holds no test images.",
            fix="name images to explain, or the run that the bundle came from.",
        )
    run = read_run(path)
    if not run.bundle:
        raise _no_network(run)
    if run.split is None or not run.split.get("folds"):
        raise InputError(f"{path} lacks its split: which images the model never saw is unknown.")
    first: dict[str, Any] = run.split["folds"][0]
    known = read_predictions(path / "predictions.parquet", tuple(run.classes))
    mine = (known.folds == first["fold"]) & (known.repeats == first["repeat"])
    rows = [row for row in np.flatnonzero(mine).tolist() if not _copy(run, known.ids[row])]
    if not rows:
        raise InputError(f"{path} has no predictions of its first fold's test images.")
    bundle = load_bundle(path)
    return Tested(run, bundle, first["fold"], first["repeat"], known.select(rows))


def _copy(run: RunFolder, name: str) -> bool:
    """Whether an image is an augmented copy of another."""
    return run.index.value(name, "parent") is not None


def _no_network(run: RunFolder) -> InputError:
    members = (run.recipe.get("fusion") or {}).get("members")
    if members:
        return InputError(
            f"{run.path} is an ensemble and has no network of its own to explain.",
            rows=[str(name) for name in members],
            fix="explain its members, one by one.",
        )
    kind = (run.recipe.get("classifier") or {}).get("kind", "none")
    if kind != "none":
        return InputError(
            f"{run.path} holds no network to explain: its classifier ({kind}) sees features, not "
            "pixels.",
            fix="explain the run of a network, such as `cytolens run finetune`.",
        )
    return InputError(
        f"{run.path} holds no bundle, so there is no model to explain.",
        fix="explain a run that `cytolens run` made, with its folder bundle/.",
    )
