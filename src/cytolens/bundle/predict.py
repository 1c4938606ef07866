"""Predict with a bundle: probabilities one can believe, sets, and "refer" where it should not say.

Nothing here needs torch: the network runs in OpenVINO or ONNX Runtime.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from cytolens.bundle.assessment import Assessment
from cytolens.bundle.card import BundleCard, check_files, find_bundle, read_bundle_card
from cytolens.bundle.examples import Examples, read_examples
from cytolens.bundle.prediction import NearExample, Prediction
from cytolens.bundle.runtime import Outputs, Precision, Runtime, choose_runtime, create_runtime
from cytolens.bundle.stream import Named, Source, predict_files, predict_sources
from cytolens.core.errors import InputError
from cytolens.data.reading import ImageProblem, read_image
from cytolens.pixels.preprocess import preprocess
from cytolens.pixels.views import TEST_VIEWS

if TYPE_CHECKING:
    from cytolens.explain.subject import Subject

_BATCH = 64  # images of one call, of features
_PLAIN = "identity"  # the view whose features are looked at

Image = NDArray[np.uint8]  # [H, W, 3], RGB
_Found = tuple[NDArray[np.float64], NDArray[np.float32]]  # probabilities [n, k], features [n, d]


@dataclass(frozen=True)
class Look:
    """What is kept of an image: what the network takes, and what can be seen without it.

    Attributes:
        pixels: uint8 [height, width, 3] of the network's input.
        problems: sentences of the checks.
    """

    pixels: Image
    problems: tuple[str, ...]


class Bundle:
    """A loaded model; see `load_bundle`.

    Args:
        folder: whose files were checked.
        card: the content of `bundle.json`.
        runtime: what runs the network.
        runtime_name: of it.
        nearest: how many of its examples are told with each prediction; 0: none.
    """

    def __init__(
        self, folder: Path, card: BundleCard, runtime: Runtime, runtime_name: str, nearest: int = 0
    ) -> None:
        self.folder = folder
        self.card = card
        self.runtime_name = runtime_name
        self.runtime = runtime
        self._views = _asked(card.test_views)
        self._nearest = nearest

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the network's input."""
        return self.card.size

    @property
    def abnormal(self) -> tuple[str, ...]:
        """The classes that count as abnormal, if any."""
        return tuple((self.card.decision or {}).get("abnormal", ()))

    @cached_property
    def assessment(self) -> Assessment:
        """What follows from the network's outputs: calibration, sets, referral."""
        return Assessment(self.folder, self.card)

    @cached_property
    def examples(self) -> Examples | None:
        """The training images that the bundle carries; None: none. Read when first asked for.

        Raises:
            InputError: they are not what the bundle says.
        """
        return read_examples(self.folder, self.card)

    def probabilities(
        self, images: Sequence[Image], *, calibrated: bool = True
    ) -> NDArray[np.float64]:
        """Return class probabilities, float64 [n, k], of RGB images of any size."""
        if not len(images):
            return np.empty((0, len(self.classes)))
        found, _ = self._found([self.prepared(image) for image in images])
        return self.assessment.calibrated(found) if calibrated else found

    def features(self, images: Iterable[Image]) -> NDArray[np.float32]:
        """Return what the head takes of each image, float32 [n, d]; of a map its spatial mean."""
        waiting = (self.prepared(image) for image in images)
        batches = iter(lambda: list(islice(waiting, _BATCH)), [])
        outputs = self.runtime.stream(np.stack(batch) for batch in batches)
        return np.concatenate([features for _, features in outputs])

    def nearest_examples(self, image: Image, count: int = 5) -> tuple[NearExample, ...]:
        """Return the training images nearest to a uint8 RGB image, the nearest first.

        `examples.thumbnail(number)` is the picture of one.

        Raises:
            InputError: the bundle carries none, or something else than an image.
        """
        if self.examples is None:
            raise InputError(
                f"The bundle at {self.folder} carries no training images.",
                fix="a run with bundle.examples above 0 puts some into its bundle.",
            )
        return self.examples.nearest(self.features([image]), count)[0]

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
        if not len(images):
            return []
        looks = [self.look(image) for image in images]
        found = self._found([look.pixels for look in looks])
        return self._assessed(list(zip(names or [""] * len(looks), looks, strict=True)), found)

    def predict_many(self, paths: Iterable[Path | str]) -> Iterator[Prediction]:
        """Yield a prediction for each path, in order; a bad file does not stop the rest.

        Images are read in threads, and earlier ones are assessed, while the network runs.
        """
        return predict_files(self, paths)

    def predict_sources(self, sources: Iterable[Source]) -> Iterator[Prediction]:
        """Yield a prediction for each source, in order; see `stream.predict_sources`."""
        return predict_sources(self, sources)

    def look(self, image: Image) -> Look:
        """Prepare and check one uint8 RGB image [H, W, 3] of any size; nothing else is kept of it.

        Raises:
            InputError: something else than an image.
        """
        return Look(self.prepared(image), tuple(self.assessment.checked(image)))

    def predict_looks(
        self, batches: Iterable[Sequence[Named[Look]]]
    ) -> Iterator[Sequence[Prediction]]:
        """Yield the predictions of each batch, in order; see `stream.Streaming`."""
        taken: deque[Sequence[Named[Look]]] = deque()

        def pixels() -> Iterator[NDArray[np.uint8]]:
            for batch in batches:
                taken.append(batch)
                yield from self._inputs([look.pixels for _, look in batch])

        outputs = self.runtime.stream(pixels())
        while some := list(islice(outputs, len(self._views))):
            yield self._assessed(taken.popleft(), self._joined(some))

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

    def _assessed(self, batch: Sequence[Named[Look]], found: _Found) -> list[Prediction]:
        names = [name for name, _ in batch]
        said = self.assessment.predictions(names, [look.problems for _, look in batch], *found)
        if not self._nearest or self.examples is None:
            return said
        near = self.examples.nearest(found[1], self._nearest)
        return [replace(one, examples=some) for one, some in zip(said, near, strict=True)]

    def _found(self, pixels: Sequence[Image]) -> _Found:
        """Return what the network says of some images, as soon as may be."""
        return self._joined([self.runtime.run(view) for view in self._inputs(pixels)])

    def _inputs(self, pixels: Sequence[Image]) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in each view, uint8 [n, H, W, 3]."""
        for name in self._views:
            yield np.stack([TEST_VIEWS.get(name)(image) for image in pixels])

    def _joined(self, outputs: Sequence[Outputs]) -> _Found:
        """Return mean probabilities [n, k] over the test views, and the images' features [n, d]."""
        asked = len(self.card.test_views)
        total = sum(softmax(scores.astype(np.float64), axis=1) for scores, _ in outputs[:asked])
        return total / asked, outputs[self._views.index(_PLAIN)][1]


def _asked(views: Sequence[str]) -> tuple[str, ...]:
    """Return the test views, and behind them the plain one if it is none of them."""
    return tuple(views) if _PLAIN in views else (*views, _PLAIN)


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


def load_bundle(
    folder: Path | str, runtime: str = "auto", precision: Precision = "f32", examples: int = 0
) -> Bundle:
    """Load a bundle after checking its format and the hash of every file.

    Args:
        folder: a `bundle/`, or a run that holds one.
        runtime: "auto", "openvino", "onnx" or "torch".
        precision: "f32"; "bf16", which is faster with OpenVINO where the processor has it, or
            "int8", where the bundle holds it. Both change numbers: `cytolens export` says by how
            much.
        examples: so many of the training images that the bundle carries, the nearest ones, are
            told with each prediction; fewer, or none, where it carries fewer.

    Raises:
        InputError: no bundle, another format, a file that is missing or was changed, or nothing
            that can run it.
    """
    place = find_bundle(folder)
    card = read_bundle_card(place)
    check_files(place, card)
    name = choose_runtime(card, runtime, precision)
    return Bundle(place, card, create_runtime(place, card, name, precision), name, examples)
