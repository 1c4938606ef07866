"""Random views of images, and copies on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cytolens.bench.keras_ways import Keras, keras, keras_missing
from cytolens.bench.measure import Line, in_turns, not_measured, rate_line
from cytolens.bench.packages import missing
from cytolens.bench.pictures import soft_picture, write_pictures
from cytolens.bench.suite import SUITES, Options
from cytolens.core.seeding import rng
from cytolens.data.reading import read_image
from cytolens.pixels.augment import augment
from cytolens.pixels.config import AugmentConfig
from cytolens.pixels.expand import Source, expand

_ROTATION, _SHIFT, _ZOOM = 20.0, 0.1, 0.1
_CONFIG = AugmentConfig(
    rotation=_ROTATION,
    width_shift=_SHIFT,
    height_shift=_SHIFT,
    zoom=_ZOOM,
    horizontal_flip=True,
    vertical_flip=True,
)
_MARK = 4.0  # offline expansion against ImageDataGenerator
_KERAS = "Keras ImageDataGenerator"
_VIEW, _COPY = "a random view", "offline expansion, PNG copies"

Pixels = NDArray[np.uint8]
Ways = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Sizes:
    """Views drawn, images expanded, copies of each, side in pixels, repeats."""

    views: int
    images: int
    factor: int
    side: int
    repeats: int


FULL = Sizes(400, 40, 7, 224, 3)
QUICK = Sizes(60, 10, 7, 224, 2)


def augmentation(options: Options) -> list[Line]:
    """Rotation, shift, zoom and flips: views in memory, and copies on disk."""
    sizes = QUICK if options.quick else FULL
    files = write_pictures(options.folder / "files", sizes.images, sizes.side)
    why = {_KERAS: keras_missing(), "albumentations": missing("albumentations")}
    settings = {"rotation": _ROTATION, "shift": _SHIFT, "zoom": _ZOOM}
    process = keras()
    ways = _views(sizes, files[0], settings, process, why)
    times = in_turns(ways, sizes.repeats)
    lines = _lines(_VIEW, sizes.views, times, why, "images/s", None)
    copies = sizes.images * (sizes.factor - 1)
    ways = _copies(sizes, files, options.folder, settings, process)
    times = in_turns(ways, sizes.repeats)
    why.pop("albumentations")
    return lines + _lines(_COPY, copies, times, why, "images/s", _MARK)


SUITES.register("augmentation", augmentation)


def _views(
    sizes: Sizes, file: Path, settings: dict[str, float], process: Keras | None, why: dict[str, str]
) -> Ways:
    image = soft_picture(sizes.side, "view")

    def repeated(once: Callable[[], object]) -> Callable[[], object]:
        def work() -> None:
            for _ in range(sizes.views):
                once()

        return work

    generator = rng(0, "bench", "views")
    ways: Ways = {"ours": repeated(lambda: augment(image, _CONFIG, generator))}
    transform = _torchvision()
    ways["torchvision v2"] = repeated(lambda: transform(image))
    if not why["albumentations"]:
        composed = _albumentations()
        ways["albumentations"] = repeated(lambda: composed(image=image)["image"])
    if process is not None:
        told = {"file": str(file), "side": sizes.side, "count": sizes.views, **settings}
        ways[_KERAS] = lambda: process.ask("augment", **told)
    return ways


def _torchvision() -> Callable[[Pixels], Pixels]:
    import torch
    from torchvision.transforms import InterpolationMode, v2

    drawn = v2.Compose(
        [
            v2.RandomAffine(
                _ROTATION,
                (_SHIFT, _SHIFT),
                (1 - _ZOOM, 1 + _ZOOM),
                interpolation=InterpolationMode.BILINEAR,
            ),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
        ]
    )

    def transform(image: Pixels) -> Pixels:
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))  # [3, H, W]
        found: Pixels = drawn(planes).permute(1, 2, 0).numpy()  # [H, W, 3]
        return found

    return transform


def _albumentations() -> Any:
    import albumentations as a

    return a.Compose(
        [
            a.Affine(
                scale=(1 - _ZOOM, 1 + _ZOOM),
                translate_percent=(-_SHIFT, _SHIFT),
                rotate=(-_ROTATION, _ROTATION),
                p=1.0,
            ),
            a.HorizontalFlip(),
            a.VerticalFlip(),
        ]
    )


def _copies(
    sizes: Sizes,
    files: Sequence[Path],
    folder: Path,
    settings: dict[str, float],
    process: Keras | None,
) -> Ways:
    sources = [Source(path.name, path, path.parent.name) for path in files]
    transform = _torchvision()

    def fresh() -> Path:
        return folder / f"copies-{time.monotonic_ns()}"

    def plain() -> None:
        out = fresh()
        out.mkdir()
        for path in files:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            for k in range(sizes.factor - 1):
                Image.fromarray(transform(pixels)).save(out / f"{path.stem}-{k}.png")

    ways: Ways = {
        "ours": lambda: expand(sources, sizes.factor, _CONFIG, 0, fresh(), read_image),
        "torchvision v2": plain,
    }
    if process is not None:
        told = {
            "folder": str(files[0].parent.parent),
            "count": sizes.images * (sizes.factor - 1),
            "side": sizes.side,
            **settings,
        }
        ways[_KERAS] = lambda: process.ask("expand", out=str(fresh()), **told)
    return ways


def _lines(
    what: str,
    amount: int,
    times: dict[str, list[float]],
    why: dict[str, str],
    unit: str,
    mark: float | None,
) -> list[Line]:
    marks = {_KERAS: mark}
    lines = [
        rate_line(what, amount, times, other, unit=unit, mark=marks.get(other))
        for other in times
        if other != "ours"
    ]
    rates = [amount / spent for spent in times["ours"]]
    return lines + [
        not_measured(what, other, rates, unit, reason, marks.get(other))
        for other, reason in why.items()
        if reason
    ]
