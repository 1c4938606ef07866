"""Predict many images: some are read while the network runs on others and earlier are assessed.

Memory holds the images that are being read, one a thread, and of some dozens more what the network
takes of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cytolens.bundle.inputs import Image, Item
from cytolens.bundle.prediction import Prediction, unusable
from cytolens.data.reading import ImageProblem, read_image

BATCH = 32  # images; the network's last digits depend on what is computed together
_AHEAD = 2  # batches that are read ahead

Row = dict[str, Any]  # a prediction as plain data (`Prediction.to_json`)
Look = TypeVar("Look")
Named = tuple[str, Look]  # the image's name, and what was made of it
_Looked = tuple[str, Look | str]  # or why it cannot be used
Source = tuple[str, Callable[[], Image]]  # a name and what reads the image


class Streaming(Protocol[Look]):
    """What scores images in two steps: one for each alone, in threads, and one for many."""

    def look(self, image: Image) -> Look:
        """Return all that is needed of a uint8 RGB image [H, W, 3]; several threads call it."""
        ...

    def predict_looks(
        self, batches: Iterable[Sequence[Named[Look]]]
    ) -> Iterator[Sequence[Prediction]]:
        """Yield the predictions of each batch, none of which is empty, in order.

        Further batches are asked for before the predictions of one come.
        """
        ...


@dataclass(frozen=True)
class Done:
    """An item and what is said of it."""

    item: Item
    row: Row


def predict_items(
    predictor: Streaming[Any], items: Iterable[Item], *, jobs: int = 2
) -> Iterator[Done]:
    """Yield what is said of each item, in order; one that cannot be read has a `problem`.

    Items go together by 32, counted from the first.

    Args:
        jobs: threads that read; each holds one image.
    """
    for item, said in predict_opened(predictor, items, jobs=jobs):
        yield Done(item, said.to_json())


def predict_opened(
    predictor: Streaming[Any], items: Iterable[Item], *, jobs: int = 2
) -> Iterator[tuple[Item, Prediction]]:
    """Yield each item with its prediction, in order; see `predict_items`."""
    taken: deque[Item] = deque()

    def sources() -> Iterator[Source]:
        for item in items:
            taken.append(item)
            yield item.name, item.read

    for said in predict_sources(predictor, sources(), jobs=jobs):
        yield taken.popleft(), said


def predict_files(predictor: Streaming[Any], paths: Iterable[Path | str]) -> Iterator[Prediction]:
    """Yield a prediction for each path, in order; one that cannot be read has a `problem`."""
    return predict_sources(predictor, ((str(p), partial(read_image, Path(p))) for p in paths))


def predict_sources(
    predictor: Streaming[Look], sources: Iterable[Source], *, jobs: int = 2
) -> Iterator[Prediction]:
    """Yield a prediction for each source, in order; one that raises `ImageProblem` has a `problem`.

    Args:
        sources: asked for in the caller's thread, some batches of 32 ahead.
        jobs: threads that read; each holds one image.
    """
    waiting: deque[list[_Looked[Look]]] = deque()
    pool = ThreadPoolExecutor(max(1, jobs))

    def batches() -> Iterator[list[Named[Look]]]:
        looks = _look_ahead(pool, predictor.look, sources)
        while batch := list(islice(looks, BATCH)):
            waiting.append(batch)
            if good := _usable(batch):
                yield good

    try:
        for found in predictor.predict_looks(batches()):
            while not _usable(waiting[0]):
                yield from _answered(waiting.popleft(), ())
            yield from _answered(waiting.popleft(), found)
        for batch in waiting:
            yield from _answered(batch, ())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def unfinished(items: Sequence[Item], finished: Callable[[Item], bool]) -> list[Item]:
    """Return the batches of 32 that are not finished throughout, whole.

    An image that is predicted again among the same others gets the same numbers, to the last digit.
    """
    batches = (items[start : start + BATCH] for start in range(0, len(items), BATCH))
    return [item for batch in batches if not all(map(finished, batch)) for item in batch]


def _usable(batch: Sequence[_Looked[Look]]) -> list[Named[Look]]:
    return [(name, look) for name, look in batch if not isinstance(look, str)]


def _answered(batch: Sequence[_Looked[Look]], found: Sequence[Prediction]) -> Iterator[Prediction]:
    said = iter(found)
    for name, look in batch:
        yield unusable(name, look) if isinstance(look, str) else next(said)


def _look_ahead(
    pool: ThreadPoolExecutor, look: Callable[[Image], Look], sources: Iterable[Source]
) -> Iterator[_Looked[Look]]:
    """Yield what was made of each image, or why it cannot be read, in order."""

    def made(read: Callable[[], Image]) -> Look | str:
        try:
            image = read()
        except ImageProblem as problem:
            return problem.reason
        return look(image)

    ahead: deque[tuple[str, Future[Look | str]]] = deque()
    for name, read in sources:
        ahead.append((name, pool.submit(made, read)))
        if len(ahead) > _AHEAD * BATCH:
            first, future = ahead.popleft()
            yield first, future.result()
    while ahead:
        first, future = ahead.popleft()
        yield first, future.result()
