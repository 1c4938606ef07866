"""Predict items in batches: decoding in threads overlaps with the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cytolens.bundle.inputs import Image, Item
from cytolens.bundle.prediction import unusable
from cytolens.bundle.predictor import Predictor
from cytolens.data.reading import ImageProblem

BATCH = 32  # images; the network's last digits depend on what is computed together
_BYTES = 256 << 20  # of the images of a batch: larger ones go in smaller batches

Row = dict[str, Any]  # a prediction as plain data (`Prediction.to_json`)


@dataclass(frozen=True)
class Done:
    """An item and what is said of it."""

    item: Item
    row: Row


def predict_items(predictor: Predictor, items: Sequence[Item], *, jobs: int = 2) -> Iterator[Done]:
    """Yield what is said of each item, in order; one that cannot be read has a `problem`.

    Items go together by 32, counted from the first, or fewer where they are large.

    Args:
        jobs: threads that read.
    """
    waiting: list[tuple[Item, Image | str]] = []
    size = 0
    for number, (item, image) in enumerate(_read_ahead(items, jobs), start=1):
        if not isinstance(image, str):
            if waiting and size + image.nbytes > _BYTES:
                yield from _flush(predictor, waiting)
                waiting, size = [], 0
            size += image.nbytes
        waiting.append((item, image))
        if number % BATCH == 0:
            yield from _flush(predictor, waiting)
            waiting, size = [], 0
    yield from _flush(predictor, waiting)


def unfinished(items: Sequence[Item], finished: Callable[[Item], bool]) -> list[Item]:
    """Return the batches of 32 that are not finished throughout, whole.

    An image that is predicted again among the same others gets the same numbers, to the last digit.
    """
    batches = (items[start : start + BATCH] for start in range(0, len(items), BATCH))
    return [item for batch in batches if not all(map(finished, batch)) for item in batch]


def _flush(predictor: Predictor, waiting: list[tuple[Item, Image | str]]) -> Iterator[Done]:
    good = [(item.name, image) for item, image in waiting if not isinstance(image, str)]
    names, images = [name for name, _ in good], [image for _, image in good]
    said = iter(predictor.predict_arrays(images, names) if good else ())
    for item, image in waiting:
        found = unusable(item.name, image) if isinstance(image, str) else next(said)
        yield Done(item, found.to_json())


def _read_ahead(items: Sequence[Item], jobs: int) -> Iterator[tuple[Item, Image | str]]:
    """Yield items with their images, or why one cannot be read, in order.

    So many are read ahead as fit into the bytes of a batch, judged by the largest so far.
    """
    ahead: deque[tuple[Item, Future[Image | str]]] = deque()
    rest = iter(items)
    window = max(1, jobs)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        try:
            while True:
                while len(ahead) < window and (item := next(rest, None)) is not None:
                    ahead.append((item, pool.submit(_read, item)))
                if not ahead:
                    return
                item, future = ahead.popleft()
                image = future.result()
                if not isinstance(image, str):
                    fits = _BYTES // max(image.nbytes, 1)
                    window = max(1, min(2 * BATCH, fits if window > fits else window + 2))
                yield item, image
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(item: Item) -> Image | str:
    try:
        return item.read()
    except ImageProblem as problem:
        return problem.reason
