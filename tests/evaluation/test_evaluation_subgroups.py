"""Scores of parts of the test images are the scores of those parts by themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cytolens.evaluation import Predictions, evaluate, subgroup_scores

Build = Callable[..., Predictions]


def test_each_part_is_scored_by_itself(draw: Build) -> None:
    some = draw(120, 3, 40)
    source = {name: "xyz"[row % 3] for row, name in enumerate(some.ids)}
    found = subgroup_scores(some, {"dataset": source}, resamples=50, seed=2)
    assert list(found) == ["dataset"] and list(found["dataset"]) == ["x", "y", "z"]
    for value, scores in found["dataset"].items():
        part = some.select([row for row, name in enumerate(some.ids) if source[name] == value])
        alone = evaluate(part, protocol="honest", leaks=[], unit_name="group", resamples=50, seed=2)
        assert scores == {k: alone[k] for k in ("n", "accuracy", "balanced_accuracy", "auc")}


def test_columns_of_one_value_and_images_without_one_are_left_out(draw: Build) -> None:
    some = draw(10, 2, 10)
    all_one = dict.fromkeys(some.ids, "40")
    part = {name: str(row % 2) for row, name in enumerate(some.ids[:6])}
    found = subgroup_scores(some, {"magnification": all_one, "dataset": part}, resamples=0)
    assert list(found) == ["dataset"]
    assert [scores["n"] for scores in found["dataset"].values()] == [3, 3]
    assert subgroup_scores(some, {"dataset": {}}) == {}


def test_a_part_of_one_class_has_no_auc(build: Build) -> None:
    some = build([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 0, 1])
    values = dict(zip(some.ids, "aab", strict=True))
    found = subgroup_scores(some, {"dataset": values}, resamples=10)["dataset"]["a"]
    assert found["auc"] == {"value": None, "low": None, "high": None}
    assert found["accuracy"]["value"] == pytest.approx(0.5)
