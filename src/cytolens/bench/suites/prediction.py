"""A bundle at work: from the file to the decision, against the bare engine on ready pixels."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cytolens.bench.measure import Line, in_turns, rate_line, value_line
from cytolens.bench.pictures import write_pictures
from cytolens.bench.random_bundle import write_random_bundle
from cytolens.bench.suite import SUITES, Options
from cytolens.bundle import load_bundle
from cytolens.data.reading import read_image

_SIDE, _FILE_SIDE = 224, 256
_BATCH = 64
_SHARE_MARK, _SINGLE_MARK, _LOAD_MARK = 0.8, 20.0, 1.5  # of the engine; milliseconds; seconds
_LOAD = """
import sys, time
started = time.perf_counter()
from cytolens.bundle import load_bundle
bundle = load_bundle(sys.argv[1])
loaded = time.perf_counter() - started
bundle.predict(sys.argv[2])
assert "torch" not in sys.modules
print(loaded, time.perf_counter() - started)
"""


@dataclass(frozen=True)
class Sizes:
    """Images in all, those asked for one at a time, fresh processes, repeats."""

    images: int
    single: int
    loads: int
    repeats: int
    side: int = _SIDE


FULL = Sizes(256, 100, 4, 5)
QUICK = Sizes(64, 30, 2, 2)


def prediction(options: Options) -> list[Line]:
    """Prediction with a bundle of MobileNetV2: file to decision, and loading."""
    sizes = QUICK if options.quick else FULL
    files = write_pictures(options.folder / "files", sizes.images, _FILE_SIDE)
    place = write_random_bundle(options.folder / "bundle", files[:64], sizes.side)
    bundle = load_bundle(place)
    ready = [bundle.prepared(read_image(path)) for path in files]
    batches = [np.stack(ready[i : i + _BATCH]) for i in range(0, len(ready), _BATCH)]

    def engine() -> None:
        assert sum(len(scores) for scores, _ in bundle.runtime.stream(batches)) == len(files)

    def whole() -> None:
        assert sum(1 for _ in bundle.predict_many(files)) == len(files)

    ways: dict[str, Callable[[], object]] = {"ours": whole, "the bare engine": engine}
    times = in_turns(ways, sizes.repeats)
    single = []
    for path in files[: sizes.single]:
        started = time.perf_counter()
        bundle.predict(path)
        single.append(1000 * (time.perf_counter() - started))
    loads = [_load(place, files[0]) for _ in range(sizes.loads)]
    note = "read, preprocessed, calibrated, checked, compared with training; engine: ready pixels"
    return [
        rate_line(
            "many images", len(files), times, "the bare engine", mark=_SHARE_MARK, note=note
        ),
        value_line("one image, file to decision", single, "ms", mark=_SINGLE_MARK),
        value_line(
            "load in a fresh process", [a for a, _ in loads], "s", mark=_LOAD_MARK,
            note="imports, hashes of all files, compiled; torch is not imported",
        ),
        value_line("load and first answer", [b for _, b in loads], "s"),
    ]  # fmt: skip


SUITES.register("prediction", prediction)


def _load(folder: Path, image: Path) -> tuple[float, float]:
    """Load it in a fresh process: seconds, and seconds to the first answer."""
    command = [sys.executable, "-c", _LOAD, str(folder), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, first = done.stdout.split()
    return float(loaded), float(first)
