"""Training images that a bundle carries: small pictures, with labels, that a new image is near to.

None are in a bundle unless its recipe asks for them (`bundle.examples`), because whoever has the
bundle can look at them. They are numbered from 1 in an order of their own and bear no name of a
file or a patient. Distances are those of the check for strange images (`ood`): between features
brought to unit length, 0 (the same) to 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.bundle.card import CARD, EXAMPLES, FETCH, BundleCard
from cytolens.bundle.config import MOST_EXAMPLES
from cytolens.bundle.neighbours import nearest, unit_length
from cytolens.bundle.prediction import NearExample
from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.core.threads import one_blas_thread

SIDE = 128  # longest edge of a picture in pixels
LARGEST = 64 * 1024  # bytes of a picture: one of noise has half of that
_QUALITY = 90  # of the JPEG
_JPEG = b"\xff\xd8\xff"
_WIDEST = 1 << 14  # features
_LARGEST_FILE = MOST_EXAMPLES * (LARGEST + 4 * _WIDEST + 64)  # bytes

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ExamplesCard:
    """What `bundle.json` says of the examples.

    Attributes:
        images: how many there are.
        classes: how many of each class.
        side: longest edge of a picture in pixels, at most.
        width: of the features.
    """

    images: int
    classes: dict[str, int]
    side: int
    width: int


class Examples:
    """The examples of a bundle.

    Args:
        card: what the bundle says of them.
        classes: of the bundle.
        tensors: float32 `features` [m, d] of unit length, int64 `labels` [m] (columns of
            `classes`), uint8 `pictures` (JPEG after JPEG) and int64 `ends` [m] (where each ends).

    Raises:
        InputError: tensors that do not fit the card or one another.
    """

    def __init__(
        self, card: ExamplesCard, classes: Sequence[str], tensors: Mapping[str, NDArray[Any]]
    ) -> None:
        _check(card, classes, tensors)
        self.card = card
        self._classes = tuple(classes)
        self._features = np.ascontiguousarray(tensors["features"], np.float32)
        self._labels = tensors["labels"]
        ends = tensors["ends"].tolist()
        content = tensors["pictures"].tobytes()
        starts = [0, *ends[:-1]]
        self._pictures = [content[a:b] for a, b in zip(starts, ends, strict=True)]
        if not all(one.startswith(_JPEG) for one in self._pictures):
            raise _unfit(["pictures are not JPEG"])

    def __len__(self) -> int:
        return self.card.images

    def label(self, number: int) -> str:
        """Return the class of an example, counted from 1."""
        return self._classes[int(self._labels[self._row(number)])]

    def thumbnail(self, number: int) -> bytes:
        """Return the picture of an example, counted from 1: JPEG, at most 128 px a side."""
        return self._pictures[self._row(number)]

    def nearest(self, features: ArrayLike, count: int) -> list[tuple[NearExample, ...]]:
        """Return the nearest examples of each image, the nearest first.

        Args:
            features: floats [n, d] of images; a row that is not finite is near to none.
            count: how many, at least 1; fewer where the bundle carries fewer.

        Raises:
            InputError: features of another width.
        """
        given = np.asarray(features, np.float64)
        if given.ndim != 2 or given.shape[1] != self.card.width:
            raise InputError(
                f"Features of shape {given.shape} cannot be compared with those of the examples.",
                expected=f"[n, {self.card.width}]",
            )
        assert count >= 1
        found: list[tuple[NearExample, ...]] = [()] * len(given)
        rows = np.flatnonzero(np.isfinite(given).all(axis=1))
        with one_blas_thread():  # as in `ood`
            unit = unit_length(given[rows])
            places, distances = nearest(unit, self._features, min(count, len(self)))
        for row, near, far in zip(rows, places.tolist(), distances.tolist(), strict=True):
            found[row] = tuple(
                NearExample(place + 1, self._classes[int(self._labels[place])], distance)
                for place, distance in zip(near, far, strict=True)
            )
        return found

    def _row(self, number: int) -> int:
        if not 1 <= number <= len(self):
            raise InputError(
                f"There is no example {number}.", expected=f"a number from 1 to {len(self)}"
            )
        return number - 1


def read_examples(folder: Path, card: BundleCard) -> Examples | None:
    """Return the examples of a bundle, or None where it carries none.

    Raises:
        InputError: their file is missing, was changed, or is not what the bundle says.
    """
    if card.examples is None:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    said = from_dict(ExamplesCard, card.examples, "the examples of the bundle")
    if EXAMPLES not in card.files:
        raise InputError(f"The bundle at {folder} does not vouch for {EXAMPLES}.")
    try:
        if (folder / EXAMPLES).stat().st_size > _LARGEST_FILE:
            raise InputError(f"{folder / EXAMPLES} is too large to be what it should be.")
        content = (folder / EXAMPLES).read_bytes()
    except OSError as error:
        raise InputError(f"The bundle at {folder} lacks {EXAMPLES}.", fix=FETCH) from error
    if hashlib.sha256(content).hexdigest() != card.files[EXAMPLES]:
        raise InputError(
            f"{folder / EXAMPLES} is not the file that {CARD} describes.",
            expected=f"SHA-256 {card.files[EXAMPLES]}",
            fix=FETCH,
        )
    try:
        tensors = load(content)
    except (SafetensorError, KeyError) as error:  # numbers that numpy does not know are a KeyError
        raise InputError(f"{folder / EXAMPLES} is no safetensors file: {error}.") from error
    return Examples(said, card.classes, tensors)


def thumbnail(image: NDArray[np.uint8]) -> bytes:
    """Return a uint8 RGB image [H, W, 3] as a small JPEG of its pixels, and of nothing else."""
    height, width = image.shape[:2]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    scale = SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    assert len(content) <= LARGEST
    return content


def make_examples(
    pictures: Sequence[bytes], labels: Sequence[str], features: ArrayLike, classes: Sequence[str]
) -> tuple[ExamplesCard, Tensors]:
    """Return what a bundle says of its examples, and the content of their file.

    Args:
        pictures: JPEG (`thumbnail`), one an image.
        labels: of the images, some of `classes`.
        features: floats [n, d] of the images, as the bundle gives them.

    Raises:
        InputError: features that are not finite, or more pictures than a bundle may carry.
    """
    given = np.asarray(features, np.float64)
    if not np.isfinite(given).all():
        raise InputError("The features of some examples hold values that are not numbers.")
    columns = [list(classes).index(label) for label in labels]
    tensors: Tensors = {
        "features": unit_length(given).astype(np.float32),
        "labels": np.array(columns, np.int64),
        "pictures": np.frombuffer(b"".join(pictures), np.uint8),
        "ends": np.cumsum([len(one) for one in pictures], dtype=np.int64),
    }
    counts = {name: columns.count(place) for place, name in enumerate(classes)}
    card = ExamplesCard(len(columns), counts, SIDE, given.shape[1])
    _check(card, classes, tensors)
    return card, tensors


def _check(card: ExamplesCard, classes: Sequence[str], tensors: Mapping[str, NDArray[Any]]) -> None:
    m, d = card.images, card.width
    if not 1 <= m <= MOST_EXAMPLES or not 1 <= d <= _WIDEST:
        raise _unfit([f"{m} images of {d} features, expected 1 to {MOST_EXAMPLES} images"])
    shapes: dict[str, tuple[type, tuple[int, ...] | None]] = {
        "ends": (np.int64, (m,)),
        "features": (np.float32, (m, d)),
        "labels": (np.int64, (m,)),
        "pictures": (np.uint8, None),
    }
    problems = []
    for name in sorted({*shapes, *tensors}):
        if name not in tensors:
            problems.append(f"{name} is missing")
        elif name not in shapes:
            problems.append(f"{name} is unknown")
        else:
            kind, shape = shapes[name]
            found = tensors[name]
            wanted = (found.size,) if shape is None else shape
            if found.dtype != kind or found.shape != wanted:
                problems.append(
                    f"{name} is {found.dtype} {found.shape}, expected {np.dtype(kind)} {wanted}"
                )
    if problems:
        raise _unfit(problems)
    labels, sizes = tensors["labels"], np.diff(tensors["ends"], prepend=0)
    if labels.min() < 0 or labels.max() >= len(classes):
        problems.append("a label is no class of the bundle")
    elif card.classes != {n: int((labels == i).sum()) for i, n in enumerate(classes)}:
        problems.append("the classes are not those of the labels")
    if sizes.min() < 1 or sizes.max() > LARGEST or tensors["ends"][-1] != tensors["pictures"].size:
        problems.append(
            f"the pictures do not end where it is said, or one is above {LARGEST} bytes"
        )
    lengths = np.linalg.norm(tensors["features"].astype(np.float64), axis=1)
    if not ((np.abs(lengths - 1) < 1e-3) | (lengths == 0)).all():
        problems.append("features are not of unit length")
    if problems:
        raise _unfit(problems)


def _unfit(problems: list[str]) -> InputError:
    return InputError("The examples of the bundle do not fit.", rows=problems)
