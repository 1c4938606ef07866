"""Leave one dataset out, where datasets share only some classes, or none."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import load_recipe
from cytolens.experiments.run import run_recipe

pytestmark = pytest.mark.usefixtures("no_report", "shared_cache")


def scattered(phantoms: Path) -> Manifest:
    """Make four datasets of the 36 phantoms.

    X and Y hold HSIL, LSIL and NILM, X alone also SCC; N holds NILM only; Z a class of its own.
    """
    manifest = read_manifest(phantoms)
    rows, seen = [], Counter[str]()
    for row in manifest.rows:
        number = seen[row.label]
        seen[row.label] += 1
        dataset, label = ("X" if number % 2 else "Y"), row.label
        if row.label == "SCC":
            dataset = "X"
            if number < 3:
                dataset, label = "Z", "other"
        elif row.label == "NILM" and number < 3:
            dataset = "N"
        rows.append(replace(row, dataset=dataset, label=label, group=f"{dataset} {row.group}"))
    return Manifest(tuple(rows), "scattered")


@pytest.mark.parametrize("regime", ["finetune", "cost_sensitive"])
def test_a_run_over_datasets_that_share_some_classes(
    phantoms: Path, tiny_toml: Path, tmp_path: Path, regime: str
) -> None:
    manifest = scattered(phantoms)
    settings = ["split.kind=lodo", "split.validation=0.0", f"training.regime={regime}"]
    recipe = load_recipe(tiny_toml, ["features.engine=torch", *settings])
    run = run_recipe(recipe, manifest, tmp_path / "run")
    found = read_predictions(run / "predictions.parquet", manifest.classes)
    dataset = {row.id: row.dataset for row in manifest.rows}
    tested = {(fold, dataset[i]) for fold, i in zip(found.folds.tolist(), found.ids, strict=True)}
    assert tested == {(0, "N"), (1, "X"), (2, "Y")}, "no gap where Z is missing"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["n"] == len(found) == 36 - 6 - 3  # SCC is in X alone, and so is Z's class
    assert metrics["per_class"]["SCC"]["support"] == metrics["per_class"]["other"]["support"] == 0
    groups = metrics["subgroups"]["dataset"]
    assert list(groups) == ["N", "X", "Y"] and groups["N"]["auc"]["value"] is None
    notes = json.loads((run / "environment.json").read_text())["notes"]
    assert {
        "fold 0 (N): all test images are NILM; the AUC of this fold alone is undefined",
        "fold 1 (X): 6 test images of SCC left out, the other side has none",
        "dataset Z is not tested: the others have none of its classes",
    } <= set(notes)
    split = json.loads((run / "split.json").read_text())
    label = {row.id: row.label for row in manifest.rows}
    learned = [{label[i] for i in fold["train"]} for fold in split["folds"]]
    everything = set(manifest.classes)
    assert learned == [everything, everything - {"SCC"}, everything]


def test_datasets_without_common_classes_are_refused(
    phantoms: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(phantoms)
    rows = [replace(row, dataset=row.label, group=None) for row in manifest.rows]
    recipe = load_recipe(tiny_toml, ["split.kind=lodo"])
    with pytest.raises(InputError) as caught:
        run_recipe(recipe, Manifest(tuple(rows), "apart"), tmp_path / "run")
    assert str(caught.value).startswith(
        "No dataset can be left out.\n"
        "  - dataset HSIL is not tested: the others have none of its classes\n"
    )
    assert not list(tmp_path.glob("run*"))
