"""From a run, or a bundle and images, to the folder `explanations/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytolens.bundle import Bundle, Prediction, load_bundle
from cytolens.bundle.inputs import Item, open_inputs
from cytolens.bundle.stream import predict_opened
from cytolens.core.errors import InputError
from cytolens.core.files import sha256_file
from cytolens.core.progress import Progress, Silent
from cytolens.experiments.explaining.choosing import RULE, choose
from cytolens.experiments.explaining.explained import Asked, called, write_explanations
from cytolens.experiments.explaining.folder import check_free, explanations_folder
from cytolens.experiments.explaining.judging import MOST, write_judgement
from cytolens.experiments.explaining.methods import create_methods
from cytolens.experiments.explaining.question import Question, costs_of
from cytolens.experiments.explaining.tested import Tested, read_tested
from cytolens.explain import Method, Subject
from cytolens.report.run_report import write_run_report

FOLDER = "explanations"
_MODEL = "model.safetensors"


def explain_run(
    run: Path,
    methods: Sequence[Method] | None = None,
    question: Question | None = None,
    *,
    seed: int = 0,
    judge: bool = False,
    most: int = MOST,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Explain test images of a run's first fold by its model; write the run's report anew.

    Args:
        run: a finished run with a bundle.
        methods: with their settings (`create_methods`); None: the five of contrastive2023.
        question: what is explained of each image; None: what it is called.
        seed: of the images that are drawn, and of the judgement.
        judge: also put the methods to the test.
        most: test images in the judgement.
        overwrite: replace the run's explanations, once the new ones are whole.

    Returns:
        the folder `RUN/explanations`.

    Raises:
        InputError: no such run, no network in it, an unknown class, images that are gone, what a
            method refuses, or explanations that are there already.
    """
    progress = progress or Silent()
    out = run / FOLDER
    question = question or Question()
    methods = create_methods() if methods is None else list(methods)
    tested = read_tested(run)
    check_free(out, overwrite=overwrite)
    subject = tested.bundle.subject()
    asked, notes = _from_run(tested, subject, question, seed)
    with explanations_folder(out, overwrite=overwrite) as folder:
        if judge:
            options: Any = {"most": most, "seed": seed, "progress": progress}
            notes.append(write_judgement(folder, tested, subject, question, methods, **options))
        model = {"run": run.resolve().name, **_model(tested.bundle, run, tested.fold)}
        about = {"model": model, "skipped": [], "notes": notes}
        write_explanations(folder, subject, asked, methods, about, progress)
    write_run_report(run, reuse=True)
    return out


def _from_run(
    tested: Tested, subject: Subject, question: Question, seed: int
) -> tuple[list[Asked], list[str]]:
    """Return the chosen test images, and what a reader must know of them."""
    run, choice = tested.run, choose(tested.predictions, seed)
    chosen = [row for row, _ in choice.rows]
    ids = [tested.predictions.ids[row] for row in chosen]
    labels = tested.predictions.labels[chosen]
    probabilities = tested.predictions.probabilities[chosen]  # [n, k]
    targets = question.targets(ids, probabilities, run.classes, costs_of(run.metrics))
    asked = [
        Asked(
            id=name,
            image=subject.prepare(read),
            label=run.classes[label],
            predicted=run.classes[int(row.argmax())],
            probability=float(row.max()),
            part=part,
            target=target,
        )
        for name, read, label, row, (_, part), target in zip(
            ids,
            tested.pixels(ids),
            labels.tolist(),
            probabilities,
            choice.rows,
            targets,
            strict=True,
        )
    ]
    leaks = [f"LEAKS: {reason}." for reason in run.leaks]
    if run.published and not leaks:
        leaks = ["LEAKS: a run of the published protocol."]
    seen = "which the model may know from training" if leaks else "which the model never saw"
    rule = RULE.format(n=len(tested.predictions), seen=seen, seed=seed)
    return asked, [*leaks, rule, *choice.notes, *_otherwise(subject, asked)]


def explain_images(
    bundle: Path,
    files: Sequence[Path],
    methods: Sequence[Method] | None = None,
    question: Question | None = None,
    *,
    out: Path = Path(FOLDER),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Explain images of one's own; files that cannot be used are left out and named.

    Args:
        bundle: a bundle, or a run that holds one.
        files: images, and what else `bundle.inputs.open_inputs` takes.
        methods, question, overwrite: as in `explain_run`.

    Returns:
        the folder `out`; `skipped` in its `explanations.json` names the files left out.

    Raises:
        InputError: no bundle, an unknown class, no image that can be used, what a method refuses,
            or something at `out` already.
    """
    progress = progress or Silent()
    question = question or Question()
    methods = create_methods() if methods is None else list(methods)
    loaded = load_bundle(bundle)
    check_free(out, overwrite=overwrite)
    found = list(predict_opened(loaded, open_inputs(files)))
    good = [(item, one) for item, one in found if not one.problem]
    skipped = [{"file": one.image, "problem": one.problem} for _, one in found if one.problem]
    if not good:
        raise InputError(
            "None of the images can be used.",
            rows=[f"{one['file']} {one['problem']}" for one in skipped],
        )
    subject = loaded.subject()
    asked = _from_files(loaded, subject, good, question)
    with explanations_folder(out, overwrite=overwrite) as folder:
        fold = loaded.card.provenance.get("fold")
        model = {"bundle": bundle.resolve().name, **_model(loaded, bundle, fold)}
        about = {"model": model, "skipped": skipped, "notes": _otherwise(subject, asked)}
        write_explanations(folder, subject, asked, methods, about, progress)
    return out


def _from_files(
    bundle: Bundle,
    subject: Subject,
    predicted: Sequence[tuple[Item, Prediction]],
    question: Question,
) -> list[Asked]:
    ids = [one.image for _, one in predicted]
    rows = [[one.probabilities[c] for c in bundle.classes] for _, one in predicted]
    probabilities = np.array(rows)
    costs = costs_of(bundle.card.metrics)
    targets = question.targets(ids, probabilities, bundle.classes, costs)
    return [
        Asked(
            id=one.image,
            image=subject.prepare(item.read()),
            label=None,
            predicted=str(one.label),
            probability=float(row.max()),
            part="asked",
            target=target,
        )
        for (item, one), row, target in zip(predicted, probabilities, targets, strict=True)
    ]


def _model(bundle: Bundle, place: Path, fold: int | None) -> dict[str, Any]:
    """Return what tells a model from others; `place` is the bundle, or the run that holds it."""
    inside = place / "bundle" / _MODEL
    sha256 = sha256_file(inside if inside.is_file() else place / _MODEL)
    return {"backbone": bundle.card.backbone, "fold": fold, "sha256": sha256}


def _otherwise(subject: Subject, asked: Sequence[Asked]) -> list[str]:
    """Say where the network that is explained would call an image something else."""
    names = called(subject, [one.image for one in asked])
    other = [
        f"{one.id} ({name}, not {one.predicted})"
        for one, name in zip(asked, names, strict=True)
        if name != one.predicted
    ]
    if not other:
        return []
    return [
        "Predictions are averaged over test views, explanations look at the image as it is. "
        f"Without these views the network calls some images something else: {', '.join(other)}."
    ]
