"""What the numbers do not say, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import bounds, counted, percent, thousands
from cytolens.report.views.calibration import temperatures
from cytolens.report.views.costs import costs
from cytolens.report.views.learning import many_pairless, pairless
from cytolens.report.views.method import classifier, members
from cytolens.report.views.subgroups import columns, noun

_FEW_IMAGES = 30
_FEW_UNITS = 30
_WIDE = 0.2


def limits(run: RunFolder) -> list[str]:
    """Return the limits of this run, the gravest first."""
    return [
        *_of_the_split(run),
        *_of_the_sample(run),
        *_of_the_method(run),
        *_of_the_costs(run),
        *_of_the_explanations(run),
        *_always(run),
    ]


def _of_the_split(run: RunFolder) -> Iterator[str]:
    if run.stamped:
        yield (
            "The numbers leak: they are higher than what a new patient would see, by an unknown "
            "amount. Do not quote them as the performance of a diagnosis."
        )
    unit = (run.metrics.get("interval") or {}).get("unit")
    if unit == "near-duplicate cluster":
        yield (
            "Patient leakage cannot be excluded: the data name no patient or slide, and clusters "
            "of near duplicates stood in for them. The intervals may be too narrow."
        )
    elif unit == "image":
        yield (
            "Patient leakage cannot be excluded: each image was taken for a case of its own. If "
            "images share patients, the numbers are too high and the intervals too narrow."
        )


def _of_the_sample(run: RunFolder) -> Iterator[str]:
    per_class = run.metrics.get("per_class") or {}
    few = [
        f"{name} ({per_class[name].get('support', 0)})"
        for name in run.classes
        if name in per_class and (per_class[name].get("support") or 0) < _FEW_IMAGES
    ]
    if few:
        yield f"Few images of {', '.join(few)}: what is said of these classes is rough."
    interval = run.metrics.get("interval") or {}
    units = interval.get("units")
    if units and units < _FEW_UNITS:
        yield f"All of it rests on {counted(units, str(interval.get('unit', 'unit')))}."
    _, low, high = bounds(run.metrics["accuracy"])
    if low is not None and high is not None and high - low > _WIDE:
        yield f"The interval of the accuracy is wide: {percent(low, 0)} to {percent(high, 0)}."
    datasets = {row["dataset"] for row in run.rows if row.get("dataset")}
    if len(datasets) < 2:
        yield (
            "All images come from one source. Another laboratory, stain, scanner or population "
            "was not tried, and results usually fall there."
        )


def _of_the_method(run: RunFolder) -> Iterator[str]:
    if classifier(run) and not run.bundle:
        yield (
            "A classical baseline is there to be compared with: it is not kept, and cytolens "
            "predict cannot use it on new images."
        )
    if members(run):
        yield (
            "An ensemble needs all of its members for every image, and cytolens predict cannot "
            "use it on new ones."
        )
    if many_pairless(run) and (found := pairless(run)):
        batches = counted(found[1], "contrastive batch", "contrastive batches")
        yield (
            f"{thousands(found[0])} of {batches} held no pair: the encoder learned from "
            "fewer images than the epochs suggest."
        )
    small = [
        f"{value} ({scores.get('n', 0)})"
        for column, values in columns(run).items()
        for value, scores in values.items()
        if (scores.get("n") or 0) < _FEW_IMAGES
    ]
    if small:
        kinds = " or ".join(noun(column) for column in columns(run))
        yield f"Few images by {kinds}: {', '.join(small)}. What is said of them is rough."


def _of_the_costs(run: RunFolder) -> Iterator[str]:
    found = costs(run)
    if found is None:
        return
    yield (
        "What an error costs is a judgement that the recipe makes, not a measurement. Other costs "
        f"give other totals{' and other cheapest decisions' if found.compared else ''}."
    )
    if found.compared and run.bundle:
        yield (
            "cytolens predict answers with the most probable class and its own probabilities: the "
            "costs, and the temperature where there is one, are not in the bundle."
        )
    if found.compared and None in (temperatures(run) or [None]):
        yield (
            "The cheapest decisions rest on probabilities that were not calibrated: where the "
            "model claims more confidence than it has earned, they weigh the costs wrongly."
        )


def _of_the_explanations(run: RunFolder) -> Iterator[str]:
    if run.explanations is None:
        return
    yield (
        "An explanation says which parts of a picture moved this model’s score, as one method "
        "tells it. It does not say that the answer is right, nor what makes a cell abnormal; a map "
        "on the nucleus is no proof that the model judges the nucleus as a pathologist does."
    )
    if run.explanations.judgement is None:
        yield "The maps were not put to the test: they may say no more than a map drawn at random."


def _always(run: RunFolder) -> Iterator[str]:
    if (run.metrics.get("interval") or {}).get("resamples"):
        yield (
            "The intervals cover the choice of test cases. They do not cover another random start "
            "of the training, nor errors in the labels."
        )
    yield (
        "The model names one of its classes for any image, also for one that shows none of them."
    )
    yield "This is research software and no medical device. It does not replace a pathologist."
