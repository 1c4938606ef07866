"""Partial fine-tuning: the part of a network above a cut is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cytolens.bench.experiment import prepare
from cytolens.bench.measure import Line, in_turns, time_line
from cytolens.bench.pictures import write_pictures
from cytolens.bench.suite import SUITES, Options
from cytolens.experiments.recipe import load_recipe

_MARK = 3.0
_CLASSES = 4
_OTHER = "plain torch eager"


@dataclass(frozen=True)
class Sizes:
    """Images, shares of the weight layers that are frozen, epochs, views, repeats, side."""

    images: int
    freeze: tuple[float, ...]
    epochs: int
    views: int
    repeats: int
    side: int = 224


FULL = Sizes(48, (0.5, 0.75), 12, 4, 2)
QUICK = Sizes(16, (0.75,), 8, 4, 1)


def finetune(options: Options) -> list[Line]:
    """Fine-tuning of MobileNetV2 above a cut, 12 epochs, 4 views: ours against plain torch."""
    sizes = QUICK if options.quick else FULL
    files = write_pictures(options.folder / "files", sizes.images, sizes.side, classes=_CLASSES)
    labels = [i % _CLASSES for i in range(sizes.images)]
    lines: list[Line] = []
    for share in sizes.freeze:
        settings = [
            "model.weights=random",
            "model.batch_norm=frozen",
            "model.dropout=0.0",
            f"model.freeze={share}",
            f"training.epochs={sizes.epochs}",
            f"training.views={sizes.views}",
            f"pixels.size={sizes.side}",
        ]
        recipe = load_recipe("finetune", settings)
        options.say(f"  {share:.0%} of the layers frozen, {sizes.images} images")
        place = options.folder / f"freeze-{share}"
        place.mkdir()
        one = prepare(recipe, files, labels, place, 1, options.device)
        half = replace(one, recipe=load_recipe("finetune", [*settings, "training.precision=bf16"]))
        difference = one.difference()
        ways: dict[str, Callable[[], object]] = {
            "ours": one.ours,
            _OTHER: one.plain,
            "bf16": half.ours,
            "extraction": one.extraction,
        }
        times = in_turns(ways, sizes.repeats)
        times["all"] = [a + b for a, b in zip(times["ours"], times["extraction"], strict=True)]
        title = f"{share:.0%} of the layers frozen"
        note = (
            f"1 of {sizes.epochs} epochs run the plain way, its time multiplied; after it the "
            f"largest difference of a weight is {difference:.1e}"
        )
        lines += [
            time_line(title, times, _OTHER, mark=_MARK, note=note),
            time_line(f"{title}, with extraction", times, _OTHER, ours="all"),
            time_line(f"{title}, bf16 autocast", times, _OTHER, ours="bf16"),
        ]
    return lines


SUITES.register("finetune", finetune)
