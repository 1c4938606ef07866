"""What a run knows of its own doubt: `doubt.json`, and what its bundle takes from it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytolens.bundle.card import read_bundle_card
from cytolens.bundle.config import BundleConfig
from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.data.loading import read_manifest
from cytolens.data.phantom import PhantomConfig, write_phantoms
from cytolens.evaluation import Predictions
from cytolens.evaluation.calibration import log_losses
from cytolens.evaluation.choosing import calibration_fit
from cytolens.evaluation.crossfit import crossfit
from cytolens.experiments.doubt import RISKS, find_doubt
from cytolens.experiments.fuse import fuse_runs
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import load_recipe
from cytolens.experiments.run import run_recipe

CLASSES = ("normal", "low", "high")
BETHESDA = ("NILM", "LSIL", "HSIL", "SCC")
MAP = [f"data.label_map.{name}={'normal' if name == 'NILM' else 'abnormal'}" for name in BETHESDA]


def predictions(n: int = 150, folds: int = 3, sure: float = 3.0) -> Predictions:
    """Overconfident predictions of n images in n / 2 units."""
    generator = np.random.default_rng(5)
    labels = np.arange(n) % len(CLASSES)
    logits = generator.normal(0, 1, (n, len(CLASSES)))
    logits[np.arange(n), labels] += 1.5
    grown = np.exp(sure * logits)
    units = [f"u{row // 2}" for row in range(n)]
    return Predictions(
        [f"i{row}" for row in range(n)],
        labels.astype(np.int64),
        grown / grown.sum(axis=1, keepdims=True),
        CLASSES,
        ((np.arange(n) // 2) % folds).astype(np.int64),
        np.zeros(n, np.int64),
        units,
    )


def find(found: Predictions, **config: object) -> dict[str, object]:
    content = find_doubt(found, replace(BundleConfig(), **config), resamples=20, seed=0)  # type: ignore[arg-type]
    assert content is not None
    return json.loads(json.dumps(content, allow_nan=False))  # type: ignore[no-any-return]


# ---- what is fitted ---------------------------------------------------------------------------


def test_too_few_images_say_nothing() -> None:
    assert find_doubt(predictions(48), BundleConfig(), resamples=20, seed=0) is None


def test_every_part_is_there_and_cross_fitted() -> None:
    found = predictions()
    content = find(found, calibration="temperature", abnormal=("low", "high"))
    crossed = crossfit(found, calibration_fit("temperature"), seed=0)
    calibration = content["calibration"]
    after = log_losses(crossed.labels, crossed.probabilities).mean()
    assert calibration["after"]["log_loss"]["value"] == pytest.approx(after)
    assert after < calibration["before"]["log_loss"]["value"]
    assert calibration["parameters"]["temperature"] > 1.5
    assert content["fitted_on"] == "3 folds" and content["notes"] == []
    assert sum(row["n"] for row in content["reliability"]["after"]) == 150
    assert content["reliability"]["after"] != content["reliability"]["before"]
    assert content["conformal"]["results"]["coverage"]["value"] == pytest.approx(0.9, abs=0.06)
    assert [row["wanted"] for row in content["risk"]["left"]] == list(RISKS)
    wrong = (crossed.probabilities.argmax(axis=1) != crossed.labels).mean()
    assert content["risk"]["error"]["value"] == pytest.approx(wrong)
    decision = content["decision"]
    assert decision["abnormal"] == ["low", "high"] and decision["results"]["abnormal"] == 100
    assert decision["results"]["sensitivity"]["value"] == pytest.approx(0.95, abs=0.05)
    at_half = next(row for row in content["decision_curve"] if row["threshold"] == 0.5)
    p = crossed.probabilities[:, 1:].sum(axis=1) >= 0.5
    truth = crossed.labels > 0
    assert at_half["model"]["value"] == pytest.approx((p & truth).mean() - (p & ~truth).mean())


def test_the_recipe_says_how() -> None:
    content = find(predictions(), calibration="none", level=0.7, sets="lac", class_conditional=True)
    assert content["calibration"]["method"] == "none"
    assert list(content["calibration"]["candidates"]) == ["none"]
    assert content["reliability"]["before"] == content["reliability"]["after"]
    conformal = content["conformal"]
    assert (conformal["level"], conformal["method"]) == (0.7, "lac")
    assert len(set(conformal["parameters"]["quantiles"])) == 3
    assert content["decision"] is None and content["decision_curve"] is None


def test_sets_of_raps_say_their_penalty() -> None:
    rows = predictions()
    content = find(rows, calibration="none", sets="raps")["conformal"]
    assert content["method"] == "raps" and set(content["parameters"]) == {
        "quantiles",
        "k_reg",
        "lambda",
    }
    assert content["n"] < rows.images, "some units chose the penalty"
    assert content == find(rows, calibration="none", sets="raps")["conformal"]


def test_repeats_count_an_image_once() -> None:
    one = predictions()
    twice = Predictions(
        **{name: [*value, *value] for name, value in vars(one).items() if name in ("ids", "units")},
        labels=np.tile(one.labels, 2),
        probabilities=np.tile(one.probabilities, (2, 1)),
        classes=CLASSES,
        folds=np.tile(one.folds, 2),
        repeats=np.repeat(np.arange(2), len(one)),
    )
    first, second = find(one, calibration="none"), find(twice, calibration="none")
    for part in ("calibration", "conformal", "risk"):
        assert first[part]["n"] == second[part]["n"] == 150
    assert first["conformal"]["parameters"] == second["conformal"]["parameters"]


def test_parts_without_abnormal_images_leave_a_note_and_the_rest() -> None:
    found = predictions(folds=2)
    units = [f"u{row}" for row in range(150)]
    apart = replace(found, units=units, folds=(found.labels > 0).astype(np.int64))
    content = find(apart, abnormal=("low", "high"), calibration="none")
    assert content["decision"] is None and content["decision_curve"] is None
    assert content["notes"] == [
        "Nothing was decided. There is no normal image to choose a threshold by."
    ]
    assert content["conformal"]["results"]["n"] == 150


@pytest.mark.parametrize("abnormal", [("hihg",), CLASSES])
def test_abnormal_classes_that_are_none_are_refused(abnormal: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"hihg|3 of the 3 classes count as abnormal"):
        find_doubt(predictions(), BundleConfig(abnormal=abnormal), resamples=20, seed=0)


# ---- in a run ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 phantoms of 48 px of 20 patients."""
    folder = tmp_path_factory.mktemp("sixty") / "phantoms"
    config = PhantomConfig(images=60, size=48, patients=20, sites=1, class_separation=2.0)
    return write_phantoms(config, folder, workers=1).parent


@pytest.fixture(scope="module")
def finished(sixty: Path, tiny_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of them with two classes, reported; not to be changed."""
    folder = tmp_path_factory.mktemp("run")
    settings = [*MAP, 'bundle.abnormal=["abnormal"]', "training.epochs=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYTOLENS_CACHE", str(folder / "cache"))
        recipe = load_recipe(tiny_toml, ["features.engine=torch", *settings])
        return run_recipe(recipe, read_manifest(sixty), folder / "run")


def test_a_run_writes_what_its_predictions_give(finished: Path) -> None:
    written = read_json(finished / "doubt.json", "doubt")
    metrics = read_json(finished / "metrics.json", "metrics")
    pooled = read_predictions(finished / "predictions.parquet", tuple(metrics["classes"]))
    assert written == find(pooled, abnormal=("abnormal",))
    assert written["calibration"]["before"]["ece"] == pytest.approx(metrics["ece"])
    assert "doubt" in read_json(finished / "environment.json", "environment")["seconds"]
    assert '<section id="doubt">' in (finished / "report.html").read_text()


def test_its_bundle_carries_the_same_and_says_whose_they_are(finished: Path) -> None:
    written = read_json(finished / "doubt.json", "doubt")
    card = read_bundle_card(finished / "bundle")
    for name in ("calibration", "conformal", "decision"):
        part = dict(getattr(card, name))
        assert "cross-fitted" in part.pop("note")
        assert part == written[name]


def test_a_run_of_too_few_images_has_none(tiny_run: Path) -> None:
    assert not (tiny_run / "doubt.json").exists()
    notes = read_json(tiny_run / "environment.json", "environment")["notes"]
    assert "bundle: Nothing was fitted: there are 36 images, fewer than 50." in notes


def test_an_unknown_abnormal_class_is_refused_before_anything_is_learned(
    sixty: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(tiny_toml, ['bundle.abnormal=["HISL"]'])
    with pytest.raises(InputError, match=r"'HISL' is none of the model's.*HSIL"):
        run_recipe(recipe, read_manifest(sixty), tmp_path / "run")
    assert not list(tmp_path.glob("run*"))


def test_an_ensemble_has_its_own(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cytolens.experiments.fuse.write_run_report", lambda _: None)
    other = shutil.copytree(finished, tmp_path / "other")
    fused = fuse_runs([finished, other], "mean", tmp_path / "fused")
    ours, theirs = (read_json(run / "doubt.json", "doubt") for run in (fused, finished))
    assert ours["decision"]["abnormal"] == ["abnormal"]
    assert ours["risk"]["error"] == theirs["risk"]["error"]  # of two that are alike


def test_sets_that_may_be_empty_hold_the_truth_as_often_as_asked() -> None:
    """A model that is right more often than the level: sets that are never empty cover too much."""
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 2, 400)
    p = np.where(labels == 1, draws.uniform(0.6, 1.0, 400), draws.uniform(0.0, 0.4, 400))
    predictions = Predictions(
        ids=[str(i) for i in range(400)],
        labels=labels,
        probabilities=np.stack([1 - p, p], axis=1),
        classes=("a", "b"),
        folds=np.arange(400) % 5,
        repeats=np.zeros(400, np.int64),
        units=[str(i) for i in range(400)],
    )
    found = {}
    for empty in (False, True):
        config = BundleConfig(calibration="none", sets="lac", empty_sets=empty)
        doubt = find_doubt(predictions, config, resamples=0, seed=0)
        assert doubt is not None and doubt["conformal"]["never_empty"] is not empty
        found[empty] = doubt["conformal"]["results"]["coverage"]["value"]
    assert found[False] == 1.0
    assert found[True] == pytest.approx(0.9, abs=0.03)
    with pytest.raises(InputError, match="empty_sets has no effect with bundle.sets = 'aps'"):
        BundleConfig(empty_sets=True)
