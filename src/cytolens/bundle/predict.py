"""Predict with a bundle: probabilities one can believe, sets, and "refer" where it should not say.

Nothing here needs torch: the network runs in OpenVINO or ONNX Runtime.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from cytolens.bundle.assessment import Assessment
from cytolens.bundle.card import BundleCard, check_files, find_bundle, read_bundle_card
from cytolens.bundle.prediction import Prediction, unusable
from cytolens.bundle.runtime import Outputs, Precision, Runtime, choose_runtime, create_runtime
from cytolens.core.errors import InputError
from cytolens.data.reading import ImageProblem, read_image
from cytolens.pixels.preprocess import preprocess
from cytolens.pixels.views import TEST_VIEWS

if TYPE_CHECKING:
    from cytolens.explain.subject import Subject

_BATCH = 64  # images of one call
_READERS = 2
_PLAIN = "identity"  # the view whose features are looked at

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Source = tuple[str, Callable[[], Image]]  # a name and what reads the image
_Found = tuple[NDArray[np.float64], NDArray[np.float32]]  # probabilities [n, k], features [n, d]
Run = Callable[[Iterable[NDArray[np.uint8]]], list[Outputs]]


@dataclass(frozen=True)
class _Read:
    """Some images as they were read; `pixels` uint8 [m, H, W, 3] are those that can be used."""

    names: list[str]
    images: list[Image | str]
    pixels: list[Image]


class Bundle:
    """A loaded model; see `load_bundle`.

    Args:
        folder: whose files were checked.
        card: the content of `bundle.json`.
        runtime: what runs the network.
        runtime_name: of it.
    """

    def __init__(self, folder: Path, card: BundleCard, runtime: Runtime, runtime_name: str) -> None:
        self.folder = folder
        self.card = card
        self.runtime_name = runtime_name
        self.runtime = runtime
        self._one_stream = Lock()  # two would share the engine's requests

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the network's input."""
        return self.card.size

    @cached_property
    def assessment(self) -> Assessment:
        """What follows from the network's outputs: calibration, sets, referral."""
        return Assessment(self.folder, self.card)

    def probabilities(
        self, images: Sequence[Image], *, calibrated: bool = True
    ) -> NDArray[np.float64]:
        """Return class probabilities, float64 [n, k], of RGB images of any size."""
        if not len(images):
            return np.empty((0, len(self.classes)))
        found, _ = self._outputs([self.prepared(image) for image in images], self._in_turn)
        return self.assessment.calibrated(found) if calibrated else found

    def features(self, images: Iterable[Image]) -> NDArray[np.float32]:
        """Return what the head takes of each image, float32 [n, d]; of a map its spatial mean."""
        waiting = (self.prepared(image) for image in images)
        batches = iter(lambda: list(islice(waiting, _BATCH)), [])
        outputs = self._at_once(np.stack(batch) for batch in batches)
        return np.concatenate([features for _, features in outputs])

    def predict(self, image: Path | str | Image) -> Prediction:
        """Predict one image, a path or a uint8 RGB array [H, W, 3].

        Raises:
            InputError: the image cannot be used.
        """
        return predict_one(self.predict_arrays, image)

    def predict_arrays(
        self, images: Sequence[Image], names: Sequence[str] | None = None
    ) -> list[Prediction]:
        """Predict some images at once.

        Args:
            images: uint8 RGB arrays [H, W, 3] of any size.
            names: of the images; empty ones by default.

        Raises:
            InputError: something else than images.
        """
        read = _Read(
            list(names or [""] * len(images)),
            list(images),
            [self.prepared(image) for image in images],
        )
        return self._assessed(read, self._found(read, self._in_turn))

    def predict_many(self, paths: Iterable[Path | str]) -> Iterator[Prediction]:
        """Yield a prediction for each path, in order; a bad file does not stop the rest."""
        return self.predict_sources((str(p), partial(read_image, Path(p))) for p in paths)

    def predict_sources(self, sources: Iterable[Source]) -> Iterator[Prediction]:
        """Yield a prediction for each source, in order.

        Images are read in threads and earlier ones are assessed while the network runs. A source
        that raises `ImageProblem` does not stop the rest.
        """
        waiting, more = iter(sources), True
        reading: deque[Future[_Read]] = deque()
        running: deque[tuple[_Read, Future[_Found | None]]] = deque()
        with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as network:
            while more or reading or running:
                if more and (batch := list(islice(waiting, _BATCH))):
                    reading.append(readers.submit(self._read, batch))
                else:
                    more = False
                if reading and (len(reading) > _READERS or not more):
                    read = reading.popleft().result()
                    running.append((read, network.submit(self._found, read, self._at_once)))
                if running and (len(running) > 1 or not (more or reading)):
                    read, found = running.popleft()
                    yield from self._assessed(read, found.result())

    def subject(self) -> Subject:
        """Return the network as methods of explanation take it; test-time views are left out.

        Needs torch.
        """
        from cytolens.bundle.network import load_network
        from cytolens.explain.subject import Subject

        network, card = load_network(self.folder, self.card), self.card
        return Subject(
            network.body, network.head, card.model.output, card.classes, card.size, card.pixels
        )

    def _read(self, batch: Sequence[Source]) -> _Read:
        images: list[Image | str] = []
        for _, read in batch:
            try:
                images.append(read())
            except ImageProblem as problem:
                images.append(problem.reason)
        pixels = [self.prepared(image) for image in images if not isinstance(image, str)]
        return _Read([name for name, _ in batch], images, pixels)

    def prepared(self, image: Image) -> Image:
        """Return an RGB image of any size as the network takes it, uint8 [H, W, 3].

        Raises:
            InputError: something else than an image.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"An array of shape {image.shape} and type {image.dtype} is not an image.",
                expected="uint8 RGB, [height, width, 3]",
            )
        return preprocess(image, self.card.pixels, self.card.size)

    def _found(self, read: _Read, run: Run) -> _Found | None:
        """Return what the network says of the images that can be used, if there are any."""
        return self._outputs(read.pixels, run) if read.pixels else None

    def _assessed(self, read: _Read, found: _Found | None) -> list[Prediction]:
        good = [image for image in read.images if not isinstance(image, str)]
        assessed: Iterator[Prediction] = iter(())
        if found is not None:
            probabilities, features = found
            names = [
                n for n, i in zip(read.names, read.images, strict=True) if not isinstance(i, str)
            ]
            assessed = iter(self.assessment.predictions(names, good, probabilities, features))
        return [
            unusable(name, image) if isinstance(image, str) else next(assessed)
            for name, image in zip(read.names, read.images, strict=True)
        ]

    def _outputs(self, pixels: Sequence[Image], run: Run) -> _Found:
        """Return mean probabilities [n, k] over the test views, and the images' features [n, d]."""
        views = list(self.card.test_views)
        plain = views.index(_PLAIN) if _PLAIN in views else len(views)
        asked = views if plain < len(views) else [*views, _PLAIN]
        outputs = run(
            np.stack([TEST_VIEWS.get(name)(image) for image in pixels])  # [n, H, W, 3]
            for name in asked
        )
        total = sum(
            softmax(scores.astype(np.float64), axis=1) for scores, _ in outputs[: len(views)]
        )
        return total / len(views), outputs[plain][1]

    def _in_turn(self, batches: Iterable[NDArray[np.uint8]]) -> list[Outputs]:
        return [self.runtime.run(batch) for batch in batches]

    def _at_once(self, batches: Iterable[NDArray[np.uint8]]) -> list[Outputs]:
        with self._one_stream:
            return list(self.runtime.stream(batches))


def predict_one(
    predict_arrays: Callable[..., list[Prediction]], image: Path | str | Image
) -> Prediction:
    """Predict a path or an array by what predicts arrays; see `Bundle.predict`."""
    if isinstance(image, np.ndarray):
        return predict_arrays([image])[0]
    try:
        return predict_arrays([read_image(Path(image))], [str(image)])[0]
    except ImageProblem as problem:
        raise InputError(f"{image} {problem.reason}.") from problem


def load_bundle(folder: Path | str, runtime: str = "auto", precision: Precision = "f32") -> Bundle:
    """Load a bundle after checking its format and the hash of every file.

    Args:
        folder: a `bundle/`, or a run that holds one.
        runtime: "auto", "openvino", "onnx" or "torch".
        precision: "f32"; "bf16", which is faster with OpenVINO where the processor has it, or
            "int8", where the bundle holds it. Both change numbers: `cytolens export` says by how
            much.

    Raises:
        InputError: no bundle, another format, a file that is missing or was changed, or nothing
            that can run it.
    """
    place = find_bundle(folder)
    card = read_bundle_card(place)
    check_files(place, card)
    name = choose_runtime(card, runtime, precision)
    return Bundle(place, card, create_runtime(place, card, name, precision), name)
