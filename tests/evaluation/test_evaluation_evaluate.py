"""The content of metrics.json, and what importing costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError, LeakError
from cytolens.evaluation import OVERALL, PER_CLASS, Predictions, evaluate

Build = Callable[..., Predictions]


def honest(predictions: Predictions, **changes: Any) -> dict[str, Any]:
    settings = {"protocol": "honest", "leaks": [], "unit_name": "group", "resamples": 100}
    return evaluate(predictions, **(settings | changes))


def test_the_structure_is_that_of_the_architecture(draw: Build) -> None:
    found = honest(draw(90, 3, 20))
    assert list(found) == [
        *("protocol", "leaks", "n", "classes", "confusion", "interval"),
        *OVERALL,
        *("per_class", "reliability"),
    ]
    assert found["n"] == 90
    assert found["interval"] == {"level": 0.95, "unit": "group", "units": 20, "resamples": 100}
    assert list(found["per_class"]) == ["a", "b", "c"]
    for row in found["per_class"].values():
        assert list(row) == ["support", *PER_CLASS]
    assert sum(row["support"] for row in found["per_class"].values()) == 90
    scores = [found[name] for name in OVERALL]
    scores += [row[name] for row in found["per_class"].values() for name in PER_CLASS]
    for score in scores:
        assert list(score) == ["value", "low", "high"]
        assert score["low"] <= score["value"] <= score["high"]


def test_it_is_strict_json(draw: Build, build: Build) -> None:
    sets = [draw(50, 4, 10), build([[1.0, 0.0]], [0]), build([[0.0, 1.0]] * 3, [0, 0, 0])]
    for one in sets:
        found = honest(one)
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_one_image(build: Build) -> None:
    found = honest(build([[0.2, 0.8]], [1]), unit_name="image")
    assert found["accuracy"] == {"value": 1.0, "low": None, "high": None}
    assert found["auc"] == {"value": None, "low": None, "high": None}
    assert found["confusion"] == [[0, 0], [0, 1]]


def test_a_class_in_one_group_only_has_no_macro_interval(build: Build) -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 27 + [1] * 3)
    table = np.stack([(p := rng.random(30)), 1 - p], axis=1)
    units = [f"u{row // 3}" for row in range(30)]
    found = honest(build(table, labels, units=units))
    assert found["balanced_accuracy"]["value"] is not None
    assert found["balanced_accuracy"]["low"] is None
    assert found["accuracy"]["low"] is not None


def test_repeats_count_an_image_once(build: Build) -> None:
    found = honest(
        build(
            [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]],
            [0, 1, 0, 1],
            ids=["x", "y", "x", "y"],
            units=["x", "y", "x", "y"],
            folds=[0, 1, 0, 1],
            repeats=[0, 0, 1, 1],
        )
    )
    assert (found["n"], found["interval"]["units"]) == (2, 2)
    assert found["confusion"] == [[2, 0], [1, 1]]
    assert found["accuracy"]["value"] == 0.75
    assert [row["support"] for row in found["per_class"].values()] == [1, 1]


def test_the_same_seed_gives_the_same_file(draw: Build) -> None:
    one = draw(80, 3, 20)
    assert honest(one, seed=3) == honest(one, seed=3)
    assert honest(one, seed=3) != honest(one, seed=4)


def test_published_protocols_carry_their_leaks(draw: Build) -> None:
    found = honest(draw(30, 2, 10), protocol="published", leaks=["a group on both sides"])
    assert (found["protocol"], found["leaks"]) == ("published", ["a group on both sides"])
    with pytest.raises(LeakError) as caught:
        honest(draw(30, 2, 10), leaks=["a group on both sides"])
    assert str(caught.value) == (
        "The protocol is called honest, but test data leaks into training.\n"
        "  - a group on both sides\n"
        'Way out: repair the split, or set protocol = "published" and have every number stamped.'
    )


def test_wrong_names_are_refused(draw: Build) -> None:
    with pytest.raises(InputError) as caught:
        honest(draw(30, 2, 10), protocol="publishd")
    assert str(caught.value) == (
        "Unknown protocol 'publishd' (did you mean 'published'?).\n"
        "Expected: one of honest, published"
    )
    with pytest.raises(InputError) as caught:
        honest(draw(30, 2, 10), unit_name="patient")
    assert str(caught.value) == (
        "Unknown unit 'patient'.\nExpected: one of group, near-duplicate cluster, image"
    )


def test_a_missing_fold_is_refused(draw: Build) -> None:
    with pytest.raises(InputError, match=r"^1 fold without predictions\.\n  - repeat 0: fold 1\n"):
        honest(draw(30, 2, 10, folds=np.arange(30) % 2 * 2))


def test_a_thousand_images_take_under_a_second_and_a_half(draw: Build) -> None:
    one = draw(1000, 7, 1000)
    honest(one, resamples=1)  # imports
    start = time.process_time()
    honest(one, resamples=1000)
    assert time.process_time() - start < 1.5


def test_importing_loads_no_torch_and_nothing_slow() -> None:
    heavy = ["torch", "sklearn", "scipy", "matplotlib", "cv2"]
    code = f"import cytolens.evaluation, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_evaluating_loads_no_torch() -> None:
    code = (
        "import sys\nfrom cytolens.evaluation import Predictions, evaluate\n"
        "p = Predictions(['x', 'y'], [0, 1], [[.9, .1], [.2, .8]], ('a', 'b'), [0, 0], [0, 0],"
        " ['x', 'y'])\n"
        "evaluate(p, protocol='honest', leaks=[], unit_name='image', resamples=10)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("kind", ["certain", "uneven", "all alike"])
def test_small_odd_sets_neither_warn_nor_crash(build: Build, kind: str) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        n, k = int(generator.integers(1, 12)), int(generator.integers(1, 5))
        labels = generator.integers(generator.integers(1, k + 1), size=n)
        tables = {
            "certain": np.eye(k)[generator.integers(k, size=n)],
            "uneven": generator.dirichlet(np.full(k, 0.3), size=n),
            "all alike": np.full((n, k), 1 / k),
        }
        units = [f"u{unit}" for unit in generator.integers(max(1, n // 2), size=n)]
        found = honest(build(tables[kind], labels, units=units), resamples=30)
        json.dumps(found, allow_nan=False)
        for score in (found[name] for name in OVERALL):
            assert (score["low"] is None) == (score["high"] is None)
            if score["low"] is not None:
                assert score["low"] <= score["value"] <= score["high"]
