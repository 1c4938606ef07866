"""What a run adds to its bundle when all folds are done: what the model knows of its own doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cytolens.bundle.card import REFERENCE
from cytolens.bundle.checks import fit_checks
from cytolens.bundle.config import BundleConfig
from cytolens.bundle.ood import fit_ood
from cytolens.bundle.predict import load_bundle
from cytolens.bundle.save import amend_bundle, write_tensors
from cytolens.core.config import to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import writing
from cytolens.core.seeding import rng
from cytolens.data.manifest import Manifest
from cytolens.data.reading import read_image
from cytolens.evaluation import Predictions
from cytolens.evaluation.choosing import calibration_fit, choose_calibrator
from cytolens.evaluation.conformal import conformal_fit, coverage, fit_conformal
from cytolens.evaluation.crossfit import chain, crossfit_rows, each_image_once, too_few
from cytolens.evaluation.operating import (
    Rates,
    fit_operating_point,
    operating_fit,
    operating_results,
)
from cytolens.experiments.recipe import Recipe
from cytolens.splits.split import Fold

TRAINING = 500  # images that tell what training images look like
HELD_OUT = 300
_NOTE = (
    "fitted on the pooled test predictions of all folds, whose models stand for this one; the "
    "scores are cross-fitted: what is applied to an image was fitted without its group"
)


@dataclass(frozen=True)
class Finishing:
    """A run whose folds are done.

    Attributes:
        bundle: folder of the bundle, with the first fold's model.
        fold: of that model.
        predictions: pooled, of all folds.
        units: name of the unit of each row of the manifest.
    """

    bundle: Path
    recipe: Recipe
    manifest: Manifest
    fold: Fold
    predictions: Predictions
    units: Sequence[str]


def finish_bundle(run: Finishing, metrics: dict[str, Any]) -> list[str]:
    """Export the model and add calibration, sets, decisions and statistics; return notes.

    A part that the data do not allow is left out, and a note says why.

    Raises:
        InputError: a place that cannot be written, a network that cannot be exported, or abnormal
            classes that are none.
    """
    config = run.recipe.bundle
    notes: list[str] = []
    parts: dict[str, Any] = {"version": config.version, "metrics": metrics}
    if why := too_few(run.predictions):
        notes.append(f"bundle: {why}")
    else:
        parts |= _doubt(run, config)
    if config.exports:
        from cytolens.bundle.export import export_bundle

        export_bundle(run.bundle, *config.exports)
    added, seen, missing = _appearance(run, config)
    notes += [f"bundle: {text}" for text in missing]
    amend_bundle(run.bundle, *added, **parts, **seen)
    return notes


def _doubt(run: Finishing, config: BundleConfig) -> dict[str, Any]:
    """Fit what is made of probabilities: calibration, sets, decisions."""
    predictions, seed = run.predictions, run.recipe.seed
    scored = {"resamples": run.recipe.evaluation.resamples, "seed": seed}
    candidates = None if config.calibration == "auto" else [config.calibration]
    choice = choose_calibrator(predictions, candidates=candidates, seed=seed)
    calibrate = calibration_fit(choice.calibrator.name)
    once = each_image_once(predictions)
    calibrated = choice.calibrator.apply(once.probabilities)

    conformal = fit_conformal(
        calibrated,
        once.labels,
        level=config.level,
        method=config.sets,
        class_conditional=config.class_conditional,
    )
    sets = conformal_fit(config.level, config.sets, class_conditional=config.class_conditional)
    held = crossfit_rows(predictions, chain(calibrate, sets), seed=seed)
    covered = coverage(held, predictions.labels, predictions.units, predictions.classes, **scored)
    found: dict[str, Any] = {
        "calibration": choice.to_json(predictions, **scored) | {"note": _NOTE},
        "conformal": conformal.to_json() | {"results": covered, "note": _NOTE},
    }
    if config.abnormal:
        wanted = Rates(config.sensitivity, config.specificity)
        whole = replace(once, probabilities=calibrated)
        point = fit_operating_point(whole, config.abnormal, wanted)
        fit = chain(calibrate, operating_fit(config.abnormal, wanted))
        answers = crossfit_rows(predictions, fit, seed=seed)
        results = operating_results(answers, predictions, config.abnormal, **scored)
        found["decision"] = point.to_json() | {"results": results, "note": _NOTE}
    return found


def _appearance(
    run: Finishing, config: BundleConfig
) -> tuple[list[str], dict[str, Any], list[str]]:
    """Learn what own images look like: files that were added, parts of the card, notes."""
    train = _some(run, "train", TRAINING)
    held_out = _some(run, "test", HELD_OUT)
    paths = {name: run.manifest.rows[run.manifest.index[name]].image for name in train + held_out}
    added: list[str] = []
    parts: dict[str, Any] = {}
    notes: list[str] = []
    try:
        parts["checks"] = to_dict(fit_checks(read_image(paths[name]) for name in train))
    except InputError as error:
        notes.append(error.what)
    features = load_bundle(run.bundle).features(
        read_image(paths[name]) for name in train + held_out
    )
    groups = [run.units[run.manifest.index[name]] for name in train]
    try:
        ood = fit_ood(
            features[: len(train)],
            groups,
            features[len(train) :],
            acceptance=config.acceptance,
            seed=run.recipe.seed,
        )
        with writing(run.bundle, "the bundle"):
            write_tensors(run.bundle / REFERENCE, ood.tensors)
        added.append(REFERENCE)
        parts["ood"] = asdict(ood.card)
    except InputError as error:
        notes.append(error.what)
    return added, parts, notes


def _some(run: Finishing, part: str, most: int) -> list[str]:
    """Draw original images of a part of the fold, in the order of the manifest."""
    names = [name for name in getattr(run.fold, part) if _is_original(run.manifest, name)]
    if len(names) > most:
        chosen = rng(run.recipe.seed, "bundle", part).permutation(len(names))[:most]
        names = [names[i] for i in sorted(chosen.tolist())]
    return names


def _is_original(manifest: Manifest, name: str) -> bool:
    return manifest.rows[manifest.index[name]].parent is None
