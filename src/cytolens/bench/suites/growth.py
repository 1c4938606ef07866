"""Time and memory as images, classes, views and folds grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cytolens.bench.measure import Line, Spread, value_line
from cytolens.bench.pictures import write_pictures
from cytolens.bench.suite import SUITES, Options

_MANY = 100_000
_MARK = 4096.0  # MiB, of a run over 100,000 images
_PROGRAM = Path(__file__).parents[1] / "growth_process.py"


@dataclass(frozen=True)
class Sizes:
    """Images of whole runs, their side, rows of a made-up store, and a run to let things grow in.

    Attributes:
        base: images (0: left out), classes, views, folds.
        factor: by how much each of the last three grows.
    """

    images: tuple[int, ...]
    side: int
    stored: int
    base: tuple[int, int, int, int]
    factor: int


FULL = Sizes((1_000, 10_000), 48, _MANY, (200, 2, 1, 2), 4)
QUICK = Sizes((300,), 48, 0, (0, 2, 1, 2), 4)


@dataclass(frozen=True)
class _Run:
    """One run in a process of its own."""

    images: int
    classes: int = 4
    views: int = 0
    folds: int = 2


def growth(options: Options) -> list[Line]:
    """Time and memory of frozen runs (cytolens_tiny) as images, classes, views and folds grow."""
    sizes = QUICK if options.quick else FULL
    lines: list[Line] = []
    found = {}
    for count in sizes.images:
        options.say(f"  a run of {count:,} images")
        found[count] = _measure(_Run(count), sizes.side, options.folder)
        lines += _lines(f"run of {count:,} images of {sizes.side} px", found[count])
    if len(found) > 1:
        lines.append(_extrapolated(found))
    if sizes.stored:
        options.say(f"  training on {sizes.stored:,} stored rows")
        lines += _stored(sizes.stored, options.folder)
    return [*lines, *_dimensions(sizes, options)] if sizes.base[0] else lines


SUITES.register("growth", growth)


def _dimensions(sizes: Sizes, options: Options) -> list[Line]:
    """Measure one run, and the same with more classes, views or folds."""
    images, classes, views, folds = sizes.base
    lines: list[Line] = []
    grown = {
        f"{images} images, {classes} classes, {views} view, {folds} folds": (1, 1, 1),
        f"classes × {sizes.factor}": (sizes.factor, 1, 1),
        f"views × {sizes.factor}": (1, sizes.factor, 1),
        f"folds × {sizes.factor}": (1, 1, sizes.factor),
    }
    first = 0.0
    for title, (a, b, c) in grown.items():
        options.say(f"  {title}")
        run = _Run(images, classes * a, views * b, folds * c)
        seconds, _ = _measure(run, sizes.side, options.folder)
        note = f"{seconds / first:.2f} times the run above" if first else ""
        first = first or seconds
        lines.append(value_line(title, [seconds], "s", note=note))
    return lines


def _lines(title: str, found: tuple[float, float]) -> list[Line]:
    seconds, memory = found
    note = "a process of its own, store and caches empty"
    return [
        value_line(title, [seconds], "s", note=note),
        value_line(f"{title}, peak memory", [memory], "MiB"),
    ]


def _extrapolated(found: dict[int, tuple[float, float]]) -> Line:
    """Continue the line through the two largest runs to 100,000 images."""
    (n, (_, low)), (m, (_, high)) = sorted(found.items())[-2:]
    memory = high + (high - low) / (m - n) * (_MANY - m)
    note = f"not measured: the line through {n:,} and {m:,} images, continued"
    title = f"run of {_MANY:,} images, peak memory, extrapolated"
    return Line(title, "", "MiB", Spread.of([memory]), mark=_MARK, larger=False, note=note)


def _stored(rows: int, folder: Path) -> list[Line]:
    told = {"do": "stored", "rows": rows, "folder": str(folder / "stored")}
    filled, seconds, memory = _process(told, folder, ("filled", "seconds", "memory"))
    note = "rows of 1,280 values, as MobileNetV2 gives them, made up; 2 epochs of a linear head"
    return [
        value_line(f"filling the store with {rows:,} rows", [filled], "s"),
        value_line(f"training on {rows:,} stored rows", [seconds], "s", note=note),
        value_line(f"training on {rows:,} stored rows, peak memory", [memory], "MiB", mark=_MARK),
    ]


def _measure(run: _Run, side: int, folder: Path) -> tuple[float, float]:
    """Return seconds and peak MiB of a run in a fresh process."""
    data = folder / f"pictures-{run.images}-{run.classes}"
    if not data.exists():
        write_pictures(data, run.images, side, classes=run.classes)
    name = f"{run.images}-{run.classes}-{run.views}-{run.folds}"
    settings = [
        "model.backbone=cytolens_tiny",
        "model.weights=auto",
        f"pixels.size={side}",
        f"split.folds={run.folds}",
        "training.epochs=10",
        f"training.views={run.views}",
        "evaluation.resamples=200",
        *(["augment.rotation=15.0"] if run.views else []),
    ]
    told = {"do": "run", "data": str(data), "settings": settings, "out": str(folder / name)}
    seconds, memory = _process(told, folder / f"cache-{name}", ("seconds", "memory"))
    return seconds, memory


def _process(told: Mapping[str, object], cache: Path, wanted: Sequence[str]) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-P", str(_PROGRAM), json.dumps(told)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CYTOLENS_CACHE": str(cache)},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return [float(found[name]) for name in wanted]
