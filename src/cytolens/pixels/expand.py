"""Offline expansion: augmented copies on disk, up to a number a class, each with its parent."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2

from cytolens.core.config import to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_bytes, write_json, writing
from cytolens.core.registry import did_you_mean
from cytolens.core.seeding import rng
from cytolens.core.threads import cores
from cytolens.pixels.augment import augment
from cytolens.pixels.config import AugmentConfig
from cytolens.pixels.image import Image

_THREADS_A_CORE = 2
_WINDOW = 64  # parents handed out at once, so that an error ends the work soon
CLAIM = "expansion.json"  # what the copies in a folder were made with


@dataclass(frozen=True)
class Source:
    """An image to expand from."""

    id: str
    path: Path
    label: str


_Copy = tuple[Source, int, str]  # parent, k, file name


@dataclass(frozen=True)
class Expanded:
    """An augmented copy: a PNG file, its class, and the id of the image it came from."""

    path: Path
    label: str
    parent: str


def expand(
    images: Sequence[Source],
    targets: Mapping[str, int] | int,
    config: AugmentConfig,
    seed: int,
    folder: Path,
    read: Callable[[Path], Image],
    done: Callable[[int, int], None] | None = None,
) -> list[Expanded]:
    """Write the copies that bring each class to its target; return them (the originals are not in).

    `targets` counts the originals: {class: final number}, classes left out stay as they are; or a
    factor on every class. Parents are used equally often (±1), in an order drawn from `seed`.
    `folder/<class>/<stem>~<k>.png` is the k-th copy of its parent: its name and pixels depend on
    seed, settings and parent alone, so a higher target adds files and changes none. Each file is
    written whole or not at all; a cut-off expansion goes on where it was. `read` gives
    uint8 [H, W, 3], and several threads call it; `done(finished, all)` is told the progress.

    Raises:
        InputError: a target below the present count or for an unknown class, settings that change
            nothing, or a folder that holds something else.
    """
    assert len({image.id for image in images}) == len(images), "ids are not unique"
    present = Counter(image.label for image in images)
    wanted = _wanted(present, targets)
    if config.identity and any(wanted[label] > n for label, n in present.items()):
        raise InputError(
            "The expansion would write exact copies: the augmentation changes nothing.",
            fix="set at least one of rotation, horizontal_flip, … above zero.",
        )
    with writing(folder, "the expanded images"):
        _claim(folder, config, seed)
    plan = [
        copy
        for label in present
        for copy in _plan([i for i in images if i.label == label], wanted[label], seed)
    ]
    copies: list[Expanded] = []

    def write(parent: list[_Copy]) -> list[Expanded]:
        pixels: Image | None = None
        found = []
        for source, k, name in parent:
            path = folder / _folder_name(source.label) / name
            if not path.exists():
                pixels = read(source.path) if pixels is None else pixels
                content = _png(augment(pixels, config, rng(seed, "expand", source.id, k)))
                with writing(path, "an expanded image"):
                    write_bytes(path, content)
            found.append(Expanded(path, source.label, source.id))
        return found

    parents = [list(some) for _, some in groupby(plan, key=lambda copy: copy[0].id)]
    # Threads: what is slow, encoding and waiting for the disk, leaves the interpreter to others.
    with ThreadPoolExecutor(_THREADS_A_CORE * cores()) as pool:
        for window in range(0, len(parents), _WINDOW):
            for found in pool.map(write, parents[window : window + _WINDOW]):
                for copy in found:
                    copies.append(copy)
                    if done is not None:
                        done(len(copies), len(plan))
    return copies


def _wanted(present: Mapping[str, int], targets: Mapping[str, int] | int) -> dict[str, int]:
    """Return the final number of every class present."""
    if isinstance(targets, int):
        if targets < 1:
            raise InputError(f"The expansion factor must be at least 1, got {targets}.")
        return {label: n * targets for label, n in present.items()}
    problems = [
        f"{label}: no image of this class{did_you_mean(label, present)}"
        for label in targets
        if label not in present
    ]
    problems += [
        f"{label}: {present[label]} present, {target} asked"
        for label, target in targets.items()
        if label in present and target < present[label]
    ]
    if problems:
        raise InputError(
            "The expansion cannot reach its targets.",
            rows=problems,
            expected="for each class the final number of images, the originals counted",
        )
    return {**present, **targets}


def _plan(sources: Sequence[Source], target: int, seed: int) -> list[_Copy]:
    """Return (parent, k, file name) of each copy of one class, copies of a parent together."""
    names = _stems(sources)
    order = rng(seed, "expand", "order", sources[0].label).permutation(len(sources))
    full, rest = divmod(target - len(sources), len(sources))
    return [
        (sources[i], k, f"{names[i]}~{k}.png")
        for turn, i in enumerate(order)
        for k in range(1, full + (turn < rest) + 1)
    ]


def _stems(sources: Sequence[Source]) -> list[str]:
    """Return a file stem for each image; a stem used twice in the class gets a hash of the id."""
    uses = Counter(source.path.stem.casefold() for source in sources)
    return [
        source.path.stem
        if uses[source.path.stem.casefold()] == 1
        else f"{source.path.stem}-{hashlib.sha256(source.id.encode()).hexdigest()[:12]}"
        for source in sources
    ]


def _folder_name(label: str) -> str:
    """Return a class name as one folder name: separators and a leading dot are escaped."""
    name = label.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _claim(folder: Path, config: AugmentConfig, seed: int) -> None:
    """Say in the folder what its copies are made with; refuse copies made with something else."""
    claim = {"version": 1, "seed": seed, "augmentation": to_dict(config)}
    path = folder / CLAIM
    if path.exists():
        if read_json(path, "description of an expansion") != claim:
            raise InputError(
                f"{folder} holds an expansion made with another seed or other settings.",
                fix="choose another folder, or remove this one.",
            )
    elif folder.exists() and any(not inside.name.startswith(".") for inside in folder.iterdir()):
        raise InputError(
            f"{folder} is not empty, and not an expansion that was cut off.",
            fix="choose a folder of its own for the expanded images.",
        )
    else:
        write_json(path, claim)


def _png(image: Image) -> bytes:
    """Return uint8 [H, W, 3] as the bytes of a PNG file."""
    whole, content = cv2.imencode(
        ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )
    assert whole, "PNG encoding failed"
    return content.tobytes()
