"""What a run adds to its bundle when all folds are done: what the model knows of its own doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cytolens.bundle.card import EXAMPLES, REFERENCE, read_bundle_card
from cytolens.bundle.checks import Measures, checks_of, measure
from cytolens.bundle.config import BundleConfig
from cytolens.bundle.model_card import write_model_card
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
from cytolens.evaluation.crossfit import too_few
from cytolens.experiments.examples import Candidate, write_examples
from cytolens.experiments.recipe import Recipe
from cytolens.pixels.image import Image
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
        doubt: what was fitted on them (`doubt.find_doubt`); None: they are too few.
        units: name of the unit of each row of the manifest.
    """

    bundle: Path
    recipe: Recipe
    manifest: Manifest
    fold: Fold
    predictions: Predictions
    units: Sequence[str]
    doubt: dict[str, Any] | None


def finish_bundle(run: Finishing, metrics: dict[str, Any]) -> list[str]:
    """Export the model and add what it knows of its doubt, and a model card; return notes.

    A part that the data do not allow is left out, and a note says why.

    Raises:
        InputError: a place that cannot be written.
    """
    config = run.recipe.bundle
    notes: list[str] = []
    parts: dict[str, Any] = {"version": config.version, "metrics": metrics}
    if run.doubt is None:
        notes.append(f"bundle: {too_few(run.predictions)}")
    else:
        fitted = ((name, run.doubt[name]) for name in ("calibration", "conformal", "decision"))
        parts |= {name: part | {"note": _NOTE} for name, part in fitted if part is not None}
        notes += [f"bundle: {text}" for text in run.doubt["notes"]]
    if config.exports:
        from cytolens.bundle.export import NotExportable, export_bundle

        try:
            export_bundle(run.bundle, *config.exports)
        except NotExportable as error:
            notes.append(f"bundle: {error.what}; another runtime is used")
    added, seen, missing = _appearance(run, config)
    if config.examples:
        carried, files, lacking = _examples(run, config)
        added, seen, missing = added + files, seen | carried, missing + lacking
    notes += [f"bundle: {text}" for text in missing]
    told = {"notes": [note.removeprefix("bundle: ") for note in notes]}
    parts["provenance"] = read_bundle_card(run.bundle).provenance | told
    amend_bundle(run.bundle, *added, **parts, **seen)
    write_model_card(run.bundle)
    return notes


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
    measured: list[Measures] = []

    def images() -> Iterator[Image]:
        """Read each image once, for its looks and for its features."""
        for place, name in enumerate(train + held_out):
            image = read_image(paths[name])
            if place < len(train):
                measured.append(measure(image))
            yield image

    features = load_bundle(run.bundle).features(images())
    try:
        parts["checks"] = to_dict(checks_of(measured))
    except InputError as error:
        notes.append(error.what)
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


def _examples(run: Finishing, config: BundleConfig) -> tuple[dict[str, Any], list[str], list[str]]:
    """Put training images into the bundle: parts of the card, files that were added, notes."""
    rows = [run.manifest.index[name] for name in _originals(run, "train")]
    candidates = [
        Candidate(run.manifest.rows[row].image, run.manifest.rows[row].label, run.units[row])
        for row in rows
    ]
    try:
        card = write_examples(run.bundle, candidates, config.examples, run.recipe.seed)
    except InputError as error:
        return {}, [], [f"no training images were put into it. {error.what}"]
    notes = []
    if card.images < config.examples:
        notes.append(f"all {card.images} training images were put into it; there are no more")
    if without := [name for name, count in card.classes.items() if not count]:
        notes.append(f"it carries no training images of {', '.join(without)}: there are none")
    return {"examples": asdict(card)}, [EXAMPLES], notes


def _some(run: Finishing, part: str, most: int) -> list[str]:
    """Draw original images of a part of the fold, in the order of the manifest."""
    names = _originals(run, part)
    if len(names) > most:
        chosen = rng(run.recipe.seed, "bundle", part).permutation(len(names))[:most]
        names = [names[i] for i in sorted(chosen.tolist())]
    return names


def _originals(run: Finishing, part: str) -> list[str]:
    return [name for name in getattr(run.fold, part) if _is_original(run.manifest, name)]


def _is_original(manifest: Manifest, name: str) -> bool:
    return manifest.rows[manifest.index[name]].parent is None
