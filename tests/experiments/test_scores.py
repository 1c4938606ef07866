"""The whole content of metrics.json, and wrong costs before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.evaluation import cost_report, evaluate, subgroup_scores
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.run import run_recipe
from cytolens.experiments.scores import all_scores, subgroup_columns
from cytolens.training.cost.config import CostConfig
from cytolens.training.cost.matrix import cost_matrix


def test_all_scores_are_those_of_the_evaluation(tiny_run: Path) -> None:
    manifest = read_manifest(tiny_run / "manifest.csv")
    some = read_predictions(tiny_run / "predictions.parquet", manifest.classes)
    ids = dict(zip(sorted(some.ids), range(len(some)), strict=True))
    columns = {"dataset": {name: f"site {place % 2}" for name, place in ids.items()}}
    cost = CostConfig(matrix="bethesda", decision="cheapest")
    found = all_scores(
        some, columns, protocol="honest", leaks=(), unit_name="group",
        cost=cost, resamples=20, seed=1,
    )  # fmt: skip
    alone = evaluate(some, protocol="honest", leaks=(), unit_name="group", resamples=20, seed=1)
    assert {name: value for name, value in found.items() if name in alone} == alone
    matrix = cost_matrix(cost, manifest.classes)
    assert found["cost"] == cost_report(some, matrix, "cheapest", resamples=20, seed=1)
    assert np.sum(found["cost"]["cheapest"]["confusion"]) == 36
    assert found["subgroups"] == subgroup_scores(some, columns, resamples=20, seed=1)


def test_columns_without_values_are_empty(phantoms: Path) -> None:
    manifest = read_manifest(phantoms)
    columns = subgroup_columns(manifest)
    assert set(columns) == {"dataset", "magnification"}
    assert columns["dataset"] == {row.id: row.dataset for row in manifest.rows}


def test_wrong_costs_fail_before_the_training(tiny: Recipe, phantoms: Path, tmp_path: Path) -> None:
    wrong = replace(tiny, cost=CostConfig(matrix={"NILM": {"SC": 2.0}}))
    with pytest.raises(InputError, match=r"SC: no such class \(did you mean 'SCC'\?\)"):
        run_recipe(wrong, read_manifest(phantoms), tmp_path / "run")
    assert not list(tmp_path.glob("run*"))
