"""Other forms of a bundle's network, and what they cost in accuracy and gain in speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle import bundle_id, export, load_bundle
from cytolens.bundle.card import CARD, OPENVINO, OPENVINO_INT8, find_bundle, read_bundle_card
from cytolens.bundle.model_card import write_model_card
from cytolens.bundle.predict import Bundle
from cytolens.bundle.quantise import quantise_bundle
from cytolens.bundle.runtime import Precision, Runtime, create_runtime
from cytolens.core.errors import InputError
from cytolens.core.progress import Progress, Silent
from cytolens.core.seeding import rng
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Row
from cytolens.data.reading import ImageProblem, read_image
from cytolens.evaluation import Predictions, compare
from cytolens.experiments.explaining.tested import read_tested

CALIBRATION = 300  # images whose activations INT8 looks at, at most
_MEASURED = 1000  # images of a manifest that are measured, at most
_BATCH, _BATCHES, _REPEATS = 64, 2, 5  # of the measurement of speed
_EXAMPLES = 8
_RESAMPLES = 2000

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Material:
    """Images to make and to measure another form of a network with.

    Attributes:
        training: files to look at the ranges of activations.
        tested: files to measure on; ids, labels [n] and units of the same.
        unit: what is resampled: "group" or "image".
        notes: what a reader must know.
    """

    training: list[Path]
    tested: list[Path]
    ids: list[str]
    labels: NDArray[np.int64]
    units: list[str]
    unit: str
    notes: list[str] = field(default_factory=list)


def export_plain(folder: Path, form: str) -> dict[str, Any]:
    """Add a float32 export to a bundle and compare it with the network in torch.

    The model card in the bundle is written anew, so that its table of files holds the export.

    Args:
        folder: of the bundle, or of the run that holds it.
        form: "onnx" or "openvino".

    Returns:
        {bundle, files, difference}: the largest absolute one between the scores of both, divided
        by the largest score, over a few images of noise.

    Raises:
        InputError: no bundle, a file that was changed, or a network that cannot be written so.
    """
    place = find_bundle(folder)
    before = read_bundle_card(place).files
    card = export.export_bundle(place, form)
    write_model_card(place)
    drawn = rng(0, "export").integers(0, 256, (_EXAMPLES, *card.size, 3), dtype=np.uint8)
    found, _ = create_runtime(place, card, form).run(drawn)
    expected, _ = create_runtime(place, card, "torch").run(drawn)
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1.0))
    files = [n for n, h in card.files.items() if before.get(n) != h] or list(card.files)
    return {"bundle": bundle_id(place), "files": files, "difference": difference}


def export_precision(
    folder: Path,
    precision: Precision,
    data: Path | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Add an INT8 form to a bundle (bf16 needs no file), and measure it against float32.

    Both run in OpenVINO, whose float32 form is written first where it is missing. Measured are the
    test images of the bundle's own fold, which its model never saw; of a bundle without its run,
    images of `data` that the ranges were not taken from. The model card in the bundle is written
    anew where a file was added.

    Args:
        folder: a run with a bundle (also as RUN/bundle), or a bundle and `data`.
        precision: "int8" or "bf16".
        data: manifest of images for a bundle without its run.
        seed: of what is drawn.

    Returns:
        {bundle, files, training, comparison (of `evaluation.compare`), same_label (share),
        largest_change (of a probability), referred {f32, PRECISION} (shares), speed {f32,
        PRECISION: {median, least, most}, gain} in images a second, notes}.

    Raises:
        InputError: no bundle, no images, classes that are not the bundle's, or NNCF is missing.
    """
    progress = progress or Silent()
    place = find_bundle(folder)
    card = read_bundle_card(place)
    if any(name not in card.files for name in OPENVINO):
        export.export_bundle(place, "openvino")
    material = _material(folder, place, card.classes, data, seed)
    files: list[str] = []
    if precision == "int8":
        with progress.task("looking at training images", len(material.training)) as step:
            images = []
            for path in material.training:
                images.append(_read(path))
                step()
        quantise_bundle(place, images)
        files += OPENVINO_INT8
    if read_bundle_card(place).files != card.files:
        write_model_card(place)
    names: tuple[Precision, Precision] = ("f32", precision)
    bundles = {name: load_bundle(place, "openvino", name) for name in names}
    found: dict[str, Predictions] = {}
    referred: dict[str, float] = {}
    with progress.task("measuring", 2 * len(material.tested)) as step:
        for name, bundle in bundles.items():
            found[name], referred[name] = _predicted(bundle, material, step)
    pixels = [bundles["f32"].prepared(_read(path)) for path in material.tested[:_BATCH]]
    f32, other = (found[name].probabilities for name in names)
    return {
        "bundle": bundle_id(place),
        "precision": precision,
        "files": files,
        "training": len(material.training) if files else 0,
        "comparison": compare(found, resamples=_RESAMPLES, seed=seed, unit_name=material.unit),
        "same_label": float((f32.argmax(axis=1) == other.argmax(axis=1)).mean()),
        "largest_change": float(np.abs(f32 - other).max()),
        "referred": referred,
        "speed": speeds({name: bundle.runtime for name, bundle in bundles.items()}, pixels),
        "notes": [*material.notes, *_bf16_notes(precision)],
    }


def speeds(runtimes: dict[str, Runtime], pixels: Sequence[Image]) -> dict[str, Any]:
    """Measure two runtimes in turn, several times, on ready pixels [H, W, 3].

    Returns:
        {name: {median, least, most}, gain} in images a second; gain is the second's median over
        the first's.
    """
    rows = [pixels[i % len(pixels)] for i in range(_BATCH)]
    batches = [np.stack(rows)] * _BATCHES
    seen: dict[str, list[float]] = {name: [] for name in runtimes}
    for repeat in range(_REPEATS + 1):
        for name, runtime in runtimes.items():
            started = time.perf_counter()
            for _ in runtime.stream(batches):
                pass
            if repeat:  # the first one compiles
                seen[name].append(_BATCH * _BATCHES / (time.perf_counter() - started))
    found: dict[str, Any] = {
        name: {"median": statistics.median(s), "least": min(s), "most": max(s)}
        for name, s in seen.items()
    }
    first, second = (found[name]["median"] for name in runtimes)
    return found | {"gain": second / first}


def _predicted(bundle: Bundle, material: Material, step: Any) -> tuple[Predictions, float]:
    """Return the predictions of the measured images, and the share that is referred."""
    rows, referred = [], 0
    for start in range(0, len(material.tested), _BATCH):
        images = [_read(path) for path in material.tested[start : start + _BATCH]]
        for one in bundle.predict_arrays(images):
            rows.append(list(one.probabilities.values()))
            referred += one.decision == "refer"
            step()
    n = len(rows)
    zeros = np.zeros(n, np.int64)
    predictions = Predictions(
        material.ids, material.labels, np.array(rows), bundle.classes, zeros, zeros, material.units
    )
    return predictions, referred / n


def _material(
    folder: Path, place: Path, classes: tuple[str, ...], data: Path | None, seed: int
) -> Material:
    run = place.parent if place.name == "bundle" else folder
    if (run / "metrics.json").is_file() and (run / "bundle" / CARD).is_file():
        if data is not None:
            raise InputError(
                f"{run} is a run, which knows its images; --data has no effect.",
                fix="leave it out.",
            )
        return _of_run(run, seed)
    if data is None:
        raise InputError(
            f"{place} is a bundle without its run: there are no images to measure with.",
            fix="name the run, or give a manifest of images (--data).",
        )
    return _of_manifest(data, classes, seed)


def _of_run(run: Path, seed: int) -> Material:
    tested = read_tested(run)
    index, predictions = tested.run.index, tested.predictions
    assert tested.run.split is not None, "read_tested refuses a run without one"
    train = [n for n in tested.run.split["folds"][0]["train"] if index.value(n, "parent") is None]
    files = [index.file(name) for name in _drawn(train, CALIBRATION, seed)]
    return Material(
        [path for path in files if path is not None],
        [path for path in map(index.file, predictions.ids) if path is not None],
        predictions.ids,
        predictions.labels,
        predictions.units,
        str((tested.run.metrics.get("interval") or {}).get("unit", "unit")),
    )


def _of_manifest(data: Path, classes: tuple[str, ...], seed: int) -> Material:
    manifest = read_manifest(data)
    if other := sorted({row.label for row in manifest.rows} - set(classes)):
        raise InputError(
            f"{data} has labels that are no classes of the bundle.",
            rows=other,
            expected=", ".join(classes),
        )
    own = [row for row in manifest.rows if row.parent is None]
    drawn = _drawn(own, min(CALIBRATION, len(own) // 2), seed)
    chosen = {row.id for row in drawn}
    rest: list[Row] = _drawn([row for row in own if row.id not in chosen], _MEASURED, seed)
    if not drawn:
        raise InputError(f"{data} holds {len(own)} image; two or more are needed.")
    return Material(
        [row.image for row in drawn],
        [row.image for row in rest],
        [row.id for row in rest],
        np.array([classes.index(row.label) for row in rest], np.int64),
        [row.group or row.id for row in rest],
        "group" if manifest.has_groups else "image",
        [f"measured on images of {data}, which the model may have been trained on"],
    )


def _drawn(names: Sequence[Any], most: int, seed: int) -> list[Any]:
    """Return some of a list, in its order."""
    if len(names) <= most:
        return list(names)
    return [names[i] for i in sorted(rng(seed, "export").permutation(len(names))[:most].tolist())]


def _read(path: Path) -> Image:
    try:
        return read_image(path)
    except ImageProblem as problem:
        raise InputError(f"{path} {problem.reason}.") from problem


def _bf16_notes(precision: str) -> list[str]:
    import openvino

    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in able:
        return ["this processor has no bf16 arithmetic: OpenVINO computes in f32 all the same"]
    return []
