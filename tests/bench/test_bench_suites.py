"""Each suite runs, at sizes at which it measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.bench import keras_ways
from cytolens.bench.measure import Line
from cytolens.bench.packages import missing
from cytolens.bench.suite import SUITES, Options
from cytolens.bench.suites.reading import fingerprints
from cytolens.data.duplicates import near_pairs

TINY: dict[str, dict[str, Any]] = {
    "extraction": {
        "images": {"cytolens_tiny": 4},
        "ours": {"cytolens_tiny": 6},
        "repeats": 1,
        "tool_seconds": 1,
    },
    "frozen": {"images": 6, "epochs": 2, "views": 2, "repeats": 1, "side": 32},
    "finetune": {"images": 6, "epochs": 2, "views": 2, "repeats": 1, "side": 32},
    "grid": {"images": 8, "side": 32, "epochs": 1, "views": 2, "backbones": ("cytolens_tiny",)},
    "reading": {"files": 3, "side": 32, "imported": 8, "searched": (200,), "repeats": 1},
    "augmentation": {"views": 2, "images": 2, "factor": 2, "side": 32, "repeats": 1},
    "explanations": {"batch": 1, "samples": 4, "methods": ("grad_cam", "lime"), "repeats": 1},
    "prediction": {"images": 40, "single": 2, "loads": 1, "repeats": 1, "side": 48},
    "start": {"repeats": 1},
    "growth": {"images": (24,), "stored": 40, "base": (20, 2, 1, 2), "factor": 2},
}
SLOW = ("extraction", "growth")  # processes of their own


@pytest.fixture
def measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exports: None
) -> Iterator[Callable[[str], list[Line]]]:
    """Run a suite at its tiny sizes, without Keras."""
    del exports
    for module in (keras_ways, *(import_module(f"cytolens.bench.suites.{n}") for n in TINY)):
        if hasattr(module, "keras_missing"):
            monkeypatch.setattr(module, "keras_missing", lambda: "not installed: keras")

    def run(name: str) -> list[Line]:
        module = import_module(f"cytolens.bench.suites.{name}")
        monkeypatch.setattr(module, "QUICK", replace(module.QUICK, **TINY[name]))
        return SUITES.get(name)(Options(tmp_path, True, "cpu", lambda _: None))

    yield run


def test_every_suite_is_tried_here() -> None:
    assert SUITES.names() == tuple(TINY)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in TINY]
)
def test_a_suite_runs(name: str, measured: Callable[[str], list[Line]]) -> None:
    lines = measured(name)
    assert lines
    for line in lines:
        assert np.isfinite(line.ours.median) and line.ours.median > 0
        assert line.ours.low <= line.ours.median <= line.ours.high
        # Either there is another way and a ratio, or none, or the reason why not.
        assert (line.ratio is None) == (line.others is None)
        assert bool(line.why_not) == (bool(line.other) and line.others is None)


def test_both_ways_of_frozen_training_end_alike(measured: Callable[[str], list[Line]]) -> None:
    lines = measured("frozen")
    assert [line.why_not for line in lines if "Keras" in line.other] == ["not installed: keras"]
    [note] = [line.note for line in lines if "largest difference" in line.note]
    assert float(note.split()[-1]) < 1e-4


def test_both_ways_of_fine_tuning_end_alike(measured: Callable[[str], list[Line]]) -> None:
    [note] = [line.note for line in measured("finetune") if line.note]
    assert float(note.split()[-1]) < 1e-2  # AdamW turns rounding of tiny gradients into steps


def test_planted_fingerprints_are_the_only_near_duplicates() -> None:
    facts, planted = fingerprints(600)
    assert planted == 30
    assert [(i, j) for i, j, _ in near_pairs(facts)] == [(i, 599 - i) for i in range(30)]


def test_what_is_missing_is_named() -> None:
    assert missing("json", "pathlib") == ""
    assert missing("json", "no_such_package") == "not installed: no_such_package"
