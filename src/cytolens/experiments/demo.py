"""The main job, offline: phantoms -> audit -> both protocols -> explanations -> one report."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_json, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.audit import audit, write_page
from cytolens.data.facts import scan_or_fail
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.data.phantom import PhantomConfig, write_phantoms
from cytolens.evaluation import Predictions, unpaired_difference
from cytolens.experiments.explaining import create_methods, explain_run
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import ExpandConfig, Recipe, load_recipe
from cytolens.experiments.run import run_recipe
from cytolens.report.pair_report import write_pair_report
from cytolens.report.text import score_text, signed_text

GAP_SCORES = ("accuracy", "auc", "macro_f1")
FIRST_SEED = 1000  # the shipped backbone was trained on phantoms of seed 0: not on these
EXPLAINED_BY = ("grad_cam", "layer_cam", "lime")  # cheap ones, of which one looks from outside
EXPLAINING = ("lime.samples=100", "lime.segments=30")  # rough, but seconds
EXAMPLES = 60  # training images in the clinic's bundle: phantoms are nobody's patients
COPIES = 3  # the published protocol grows each class to this multiple before the split

# Few patients that differ as real laboratories' do, each with a class mix of its own: recognising
# the patient helps, so a split by image flatters the model.
PHANTOMS = PhantomConfig(
    tissue="pap",
    images=480,
    size=96,
    patients=16,
    sites=2,
    patient_effect=1.0,
    class_separation=0.8,
    label_patient_correlation=0.7,
)


@dataclass(frozen=True)
class DemoResult:
    """Where the demo lies and what it found."""

    folder: Path
    honest: dict[str, Any]
    published: dict[str, Any]
    gap: dict[str, dict[str, Any]]

    def lines(self) -> list[str]:
        """Return the result as lines of text."""
        return [
            f"honest accuracy     {score_text(self.honest['accuracy'])}",
            f"published accuracy  {score_text(self.published['accuracy'])}  LEAKS",
            f"gap                 {signed_text(self.gap['accuracy'])}",
            f"report              {self.folder / 'report.html'}",
            f"data audit          {self.folder / 'audit.html'}",
            f"bundle              {self.folder / 'honest' / 'bundle'}",
        ]


def published_twin(recipe: Recipe) -> Recipe:
    """Return the recipe as many papers run it: augment everything first, then split by image."""
    return replace(
        recipe,
        name=f"{recipe.name}-published",
        protocol="published",
        expand=ExpandConfig(when="before_split", factor=COPIES),
        training=replace(recipe.training, views=0),
    )


def run_demo(
    folder: Path, *, seed: int = 0, overwrite: bool = False, progress: Progress | None = None
) -> DemoResult:
    """Make phantoms, run both protocols on them, explain the honest one, write one report.

    A demo that was cut off goes on where it stopped.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    progress = progress or Silent()
    _check_place(folder, overwrite)
    if overwrite:  # phantoms of another seed would be in the way
        shutil.rmtree(folder / "phantoms", ignore_errors=True)
    manifest = _draw(replace(PHANTOMS, seed=FIRST_SEED + seed), folder, progress)
    with writing(folder, "the demo"):
        write_page(audit(manifest, scan_or_fail(manifest), {}), manifest, folder / "audit.html")
    recipe = replace(load_recipe("demo"), seed=seed)
    found: dict[str, dict[str, Any]] = {}
    predictions: dict[str, Predictions] = {}
    for name, one in (("honest", recipe), ("published", published_twin(recipe))):
        run = folder / name
        if overwrite or not (run / "metrics.json").exists():
            progress.say(f"{name} protocol")
            run_recipe(one, manifest, run, overwrite=overwrite, progress=progress)
        found[name] = read_json(run / "metrics.json", "metrics file")
        predictions[name] = read_predictions(run / "predictions.parquet", manifest.classes)
    if not (folder / "honest" / "explanations").exists():
        methods = create_methods(EXPLAINED_BY, EXPLAINING, seed=seed)
        explain_run(folder / "honest", methods, seed=seed, progress=progress)
    gap = {score: _gap(predictions, score, seed) for score in GAP_SCORES}
    with writing(folder, "the demo"):
        write_json(folder / "gap.json", gap)
        write_pair_report(folder / "honest", folder / "published", folder / "report.html", gap)
    return DemoResult(folder, found["honest"], found["published"], gap)


def make_demo_bundle(
    folder: Path,
    phantoms: PhantomConfig,
    abnormal: Sequence[str],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Train the demo's recipe, honest protocol, for the clinic's demonstration; return the bundle.

    A bundle that is there is kept; a run that was cut off goes on where it stopped.

    Args:
        phantoms: what it is trained on. Those of `run_demo` are made for a gap between two
            protocols: a model that is honest about them refers nearly every image.
        abnormal: classes that count as abnormal, so that it sorts images.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    progress = progress or Silent()
    run = folder / "honest"
    if not (run / "metrics.json").exists():
        _check_place(folder, overwrite=False)
        manifest = _draw(phantoms, folder, progress)
        recipe = load_recipe("demo")
        sorting = replace(recipe.bundle, abnormal=tuple(abnormal), examples=EXAMPLES)
        recipe = replace(recipe, seed=seed, bundle=sorting)
        run_recipe(recipe, manifest, run, progress=progress)
    return run / "bundle"


def _draw(phantoms: PhantomConfig, folder: Path, progress: Progress) -> Manifest:
    with progress.task("drawing phantoms", phantoms.images) as step:
        table = write_phantoms(phantoms, folder / "phantoms", progress=lambda *_: step())
    return read_manifest(table)


def _gap(predictions: dict[str, Predictions], score: str, seed: int) -> dict[str, Any]:
    found = unpaired_difference(predictions["honest"], predictions["published"], score, seed=seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def _check_place(folder: Path, overwrite: bool) -> None:
    """Refuse a finished demo (unless told) and a folder of something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file.", fix="choose another --out.")
    known = {"phantoms", "phantoms.partial", "audit.html", "honest", "published", "report.html"}
    names = {path.name.removesuffix(".partial") for path in folder.iterdir()}
    if not names & known:
        raise InputError(f"{folder} holds something else than a demo.", fix="choose another --out.")
    if (folder / "report.html").exists() and not overwrite:
        raise InputError(
            f"{folder} already holds a finished demo.",
            fix=f"open {folder / 'report.html'}, choose another --out, or pass --overwrite.",
        )
