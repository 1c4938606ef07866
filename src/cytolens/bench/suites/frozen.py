"""An experiment as the papers run it: a frozen network, fifty epochs, seven views an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cytolens.bench.experiment import Experiment, prepare
from cytolens.bench.keras_ways import Keras, keras, keras_missing
from cytolens.bench.measure import Line, Took, in_turns, not_measured, time_line
from cytolens.bench.pictures import write_pictures
from cytolens.bench.suite import SUITES, Options
from cytolens.experiments.recipe import load_recipe

_CLASSES = 4
_TORCH_MARK, _KERAS_MARK = 100.0, 50.0
_TITLE = "frozen MobileNetV2"
_EXTRACTED = "the same with extraction of all views"
_AUGMENT = ("rotation=15.0", "width_shift=0.1", "height_shift=0.1", "zoom=0.1")


@dataclass(frozen=True)
class Sizes:
    """Images, epochs in all and those run the plain way, views, repeats, side in pixels."""

    images: int
    epochs: int
    plain_epochs: int
    views: int
    repeats: int
    side: int = 224


FULL = Sizes(128, 50, 1, 7, 3)
QUICK = Sizes(16, 50, 1, 7, 1)


def frozen(options: Options) -> list[Line]:
    """A frozen MobileNetV2, 50 epochs, 7 augmented views: ours against plain loops."""
    sizes = QUICK if options.quick else FULL
    files = write_pictures(options.folder / "files", sizes.images, sizes.side, classes=_CLASSES)
    labels = [i % _CLASSES for i in range(sizes.images)]
    settings = [
        "model.weights=random",
        f"training.epochs={sizes.epochs}",
        f"training.views={sizes.views}",
        f"pixels.size={sizes.side}",
        *(f"augment.{part}" for part in _AUGMENT),
        "augment.horizontal_flip=true",
    ]
    recipe = load_recipe("frozen", settings)
    experiment = prepare(recipe, files, labels, options.folder, sizes.plain_epochs, options.device)
    options.say(f"  {sizes.images} images, {sizes.epochs} epochs, {sizes.views} views")
    difference = experiment.difference()
    process = keras(options.device == "cpu")
    times = in_turns(_ways(experiment, sizes, process), sizes.repeats)
    times[_EXTRACTED] = [a + b for a, b in zip(times["ours"], times.pop("extraction"), strict=True)]
    scaled = f"{sizes.plain_epochs} of {sizes.epochs} epochs run, their time multiplied"
    equal = f"{scaled}; after these the largest difference of a weight is {difference:.1e}"
    lines = [
        time_line(_TITLE, times, "plain torch loop", mark=_TORCH_MARK, note=equal),
        time_line(_EXTRACTED, times, "plain torch loop", ours=_EXTRACTED),
    ]
    if "plain Keras loop" not in times:
        why = keras_missing() or "measured on the processor alone"
        return [
            *lines,
            not_measured(_TITLE, "plain Keras loop", times["ours"], "s", why, _KERAS_MARK),
        ]
    other = f"{scaled}; other random weights: the speed alone is compared, without augmentation"
    return [
        *lines,
        time_line(_TITLE, times, "plain Keras loop", mark=_KERAS_MARK, note=other),
        time_line(_EXTRACTED, times, "plain Keras loop", ours=_EXTRACTED),
    ]


SUITES.register("frozen", frozen)


def _ways(
    experiment: Experiment, sizes: Sizes, process: Keras | None
) -> dict[str, Callable[[], object]]:
    ways: dict[str, Callable[[], object]] = {
        "ours": experiment.ours,
        "plain torch loop": experiment.plain,
        "extraction": experiment.extraction,
    }
    if process is not None:
        told = {
            "network": "MobileNetV2",
            "files": [str(source.path) for source in experiment.sources],
            "labels": experiment.labels.tolist(),
            "classes": _CLASSES,
            "epochs": sizes.plain_epochs,
        }
        share = sizes.epochs / sizes.plain_epochs
        ways["plain Keras loop"] = lambda: Took(process.ask("train", **told) * share)
    return ways
