"""Reading and decoding, import into a manifest, search for near duplicates."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cytolens.bench.measure import Line, Took, in_turns, rate_line, seconds, value_line
from cytolens.bench.pictures import write_pictures
from cytolens.bench.suite import SUITES, Options
from cytolens.core.seeding import rng
from cytolens.data.duplicates import near_pairs
from cytolens.data.facts import THUMB, Facts, scan
from cytolens.data.loading import read_manifest
from cytolens.data.reading import read_image

_MANY = 100_000
_IMPORT_MARK, _DUPLICATES_MARK = 180.0, 60.0  # seconds for 100,000 images
_PLANTED = 50  # near duplicates in a thousand
_THREADS = 2


@dataclass(frozen=True)
class Sizes:
    """Files of each kind to read, their side, files to import, rows to search, repeats."""

    files: int
    side: int
    imported: int
    searched: tuple[int, ...]
    repeats: int


FULL = Sizes(400, 256, 10_000, (1_000, 10_000, _MANY), 5)
QUICK = Sizes(100, 256, 1_000, (1_000, 10_000), 3)


def reading(options: Options) -> list[Line]:
    """Reading files, importing them with hashes, and finding near duplicates."""
    sizes = QUICK if options.quick else FULL
    lines: list[Line] = []
    for suffix in (".jpg", ".png"):
        folder = options.folder / suffix[1:]
        files = write_pictures(folder, sizes.files, sizes.side, suffix=suffix)
        lines += _decoding(files, f"{suffix[1:].upper()} of {sizes.side} px", sizes.repeats)
    options.say(f"  import of {sizes.imported:,} files")
    lines.append(_importing(options.folder, sizes))
    options.say("  near duplicates")
    return [*lines, *(_searching(n, sizes.repeats) for n in sizes.searched)]


SUITES.register("reading", reading)


def _decoding(files: Sequence[Path], title: str, repeats: int) -> list[Line]:
    from torchvision.io import ImageReadMode, decode_image

    def pillow(path: Path) -> object:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    def opencv(path: Path) -> object:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert image is not None, "the file is whole"
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def torchvision(path: Path) -> object:
        return decode_image(str(path), ImageReadMode.RGB).permute(1, 2, 0).numpy()

    readers: dict[str, Callable[[Path], object]] = {
        "ours": read_image,
        "Pillow": pillow,
        "OpenCV": opencv,
        "torchvision.io": torchvision,
    }

    def all_of(read: Callable[[Path], object]) -> Callable[[], object]:
        def work() -> None:
            with ThreadPoolExecutor(_THREADS) as pool:
                for _ in pool.map(read, files):
                    pass

        return work

    with warnings.catch_warnings():
        # torchvision has deprecated its decoders in favour of torchcodec; people still use them.
        warnings.filterwarnings("ignore", message=".*TorchVision", category=DeprecationWarning)
        times = in_turns({name: all_of(read) for name, read in readers.items()}, repeats)
    note = f"{_THREADS} threads; ours refuses what only a guess could turn into 8-bit RGB"
    what = f"read and decode {title}"
    return [
        rate_line(
            what, len(files), times, other, unit="files/s", note=note if other == "Pillow" else ""
        )
        for other in list(readers)[1:]
    ]


def _importing(folder: Path, sizes: Sizes) -> Line:
    """Class folders -> manifest, hashes and facts of every image, written."""
    place = folder / "import"
    write_pictures(place, sizes.imported, sizes.side)

    def work() -> None:
        manifest = read_manifest(place)
        facts, problems = scan(manifest, cache=folder / f"facts-{time.monotonic_ns()}.sqlite")
        assert not problems and len(facts.sha256) == sizes.imported, "all of them are whole"
        manifest.write(folder / "manifest.csv")

    spent = [
        seconds(work) * _MANY / sizes.imported for _ in range(1 if sizes.imported > 5000 else 2)
    ]
    return value_line(
        f"import {_MANY:,} files of {sizes.side} px with hashes and facts",
        spent,
        "s",
        mark=_IMPORT_MARK,
        note=f"{sizes.imported:,} imported, their time multiplied",
    )


def _searching(count: int, repeats: int) -> Line:
    facts, planted = fingerprints(count)
    times = in_turns({"ours": lambda: _search(facts, planted)}, min(repeats, 3), warm=0)["ours"]
    return value_line(
        f"near duplicates among {count:,} images",
        times,
        "s",
        mark=_DUPLICATES_MARK if count >= _MANY else None,
        note=f"{planted:,} planted, all found",
    )


def _search(facts: Facts, planted: int) -> Took:
    started = time.perf_counter()
    found = near_pairs(facts)
    spent = time.perf_counter() - started
    assert len(found) >= planted, "what is planted is found"
    return Took(spent)


def fingerprints(count: int) -> tuple[Facts, int]:
    """Return made-up facts of images, and how many near duplicates of others are among them.

    Hashes and thumbnails are drawn, so that strangers are no near duplicates; a planted one has up
    to three other bits and a little noise.
    """
    drawn = rng(0, "bench", "fingerprints", count)
    hashes = drawn.integers(0, 2**64, count, dtype=np.uint64)
    thumbs = drawn.integers(0, 256, (count, THUMB, THUMB), dtype=np.uint8)
    planted = count * _PLANTED // 1000
    for copy in range(planted):
        of = count - 1 - copy
        hashes[copy] = hashes[of]
        for bit in drawn.choice(64, 3, replace=False):
            hashes[copy] ^= np.uint64(1) << np.uint64(bit)
        thumbs[copy] = thumbs[of] ^ drawn.integers(0, 2, (THUMB, THUMB), dtype=np.uint8)
    names = tuple(hashlib.sha256(str(i).encode()).hexdigest() for i in range(count))
    zeros = np.zeros((count, 3))
    return Facts(names, np.ones((count, 2), np.int64), hashes, thumbs, zeros, thumbs), planted
