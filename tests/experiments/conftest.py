"""Small runs made quick: without their report, or with the features of an earlier test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cytolens.core.files import read_json, write_json
from cytolens.evaluation import Predictions
from cytolens.experiments.predictions_file import read_predictions, write_predictions


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the slowest part of a small run."""

    def skip(run: Path, *, reuse: bool = False) -> None:
        del reuse
        (run / "report.html").write_text("")

    monkeypatch.setattr("cytolens.experiments.run.write_run_report", skip)


@pytest.fixture(scope="session")
def common_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shared_cache(own_cache: Path, common_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Share facts and features between tests that ask for the same ones."""
    del own_cache  # asked for, so that ours comes after it
    monkeypatch.setenv("CYTOLENS_CACHE", str(common_cache))


@pytest.fixture
def vary(tiny_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of runs like `tiny_run` with other predictions or another protocol."""

    def make(name: str, sharper: float = 0.0, keep: int | None = None, **metrics: object) -> Path:
        folder = tmp_path / "runs" / name
        shutil.copytree(tiny_run, folder)
        scores = read_json(folder / "metrics.json", "metrics")
        path, classes = folder / "predictions.parquet", tuple(scores["classes"])
        known = read_predictions(path, classes).select(range(36 if keep is None else keep))
        mixed = (1 - sharper) * known.probabilities + sharper * np.eye(len(classes))[known.labels]
        write_predictions(path, Predictions(**(vars(known) | {"probabilities": mixed})))
        write_json(folder / "metrics.json", scores | metrics)
        return folder

    return make
