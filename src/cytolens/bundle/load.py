"""Load a bundle and predict with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cytolens.bundle.save import FORMAT, MODEL, BundleCard
from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, sha256_file
from cytolens.data.reading import ImageProblem, read_image
from cytolens.explain.subject import Subject
from cytolens.models.backbones import Body, create_backbone
from cytolens.models.heads import create_head, probabilities
from cytolens.models.weights import Weights, load_state
from cytolens.pixels.preprocess import preprocess
from cytolens.pixels.views import TEST_VIEWS

_BATCH = 16


@dataclass(frozen=True)
class Prediction:
    """What a bundle says of one image.

    Attributes:
        image: the path, or "" for an array.
        label: the most probable class; None when the image could not be used.
        probabilities: by class, uncalibrated; empty when the image could not be used.
        problem: why the image could not be used, or "".
    """

    image: str
    label: str | None
    probabilities: dict[str, float]
    problem: str = ""


class Bundle:
    """A loaded model.

    Args:
        card: the content of `bundle.json`.
        body, head: the network, in inference mode.
    """

    def __init__(self, card: BundleCard, body: Body, head: torch.nn.Module) -> None:
        self.card = card
        self._body = body.eval()
        self._head = head.eval()

    def subject(self) -> Subject:
        """Return the network as methods of explanation take it; test-time views are left out."""
        card = self.card
        return Subject(
            self._body, self._head, card.model.output, card.classes, card.size, card.pixels
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def probabilities(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return class probabilities, float64 [n, k], of uint8 RGB images [H, W, 3] of any size."""
        pixels = [preprocess(image, self.card.pixels, self.card.size) for image in images]
        total = np.zeros((len(images), len(self.classes)))
        for name in self.card.test_views:
            batch = np.stack([TEST_VIEWS.get(name)(image) for image in pixels])  # [n, H, W, 3]
            with torch.inference_mode():
                scores = self._head(self._body(torch.from_numpy(batch)))
            total += probabilities(scores, self.card.model.output).numpy()
        mean: NDArray[np.float64] = total / total.sum(axis=1, keepdims=True)
        return mean

    def predict(self, image: Path | str | NDArray[np.uint8]) -> Prediction:
        """Predict one image, a path or a uint8 RGB array [H, W, 3].

        Raises:
            InputError: the image cannot be used.
        """
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise InputError(
                    f"An array of shape {image.shape} and type {image.dtype} is not an image.",
                    expected="uint8 RGB, [height, width, 3]",
                )
            return self._named("", self.probabilities([image])[0])
        [prediction] = self.predict_many([Path(image)])
        if prediction.problem:
            raise InputError(f"{prediction.image} {prediction.problem}.")
        return prediction

    def predict_many(self, paths: Iterable[Path]) -> Iterator[Prediction]:
        """Yield a prediction for each path, in order; a bad file does not stop the rest."""
        waiting: list[tuple[Path, NDArray[np.uint8] | str]] = []
        for path in paths:
            try:
                waiting.append((path, read_image(path)))
            except ImageProblem as problem:
                waiting.append((path, problem.reason))
            if len(waiting) >= _BATCH:
                yield from self._flush(waiting)
                waiting.clear()
        yield from self._flush(waiting)

    def _flush(self, waiting: list[tuple[Path, NDArray[np.uint8] | str]]) -> Iterator[Prediction]:
        good = [image for _, image in waiting if not isinstance(image, str)]
        rows = iter(self.probabilities(good) if good else ())
        for path, image in waiting:
            if isinstance(image, str):
                yield Prediction(str(path), None, {}, image)
            else:
                yield self._named(str(path), next(rows))

    def _named(self, image: str, row: NDArray[np.float64]) -> Prediction:
        named = {name: float(p) for name, p in zip(self.classes, row, strict=True)}
        return Prediction(image, self.classes[int(row.argmax())], named)


def load_bundle(folder: Path | str) -> Bundle:
    """Load a bundle after checking its format and the hash of its model.

    Args:
        folder: a `bundle/`, or a run that holds one.

    Raises:
        InputError: no bundle, another format, or a model file that was changed.
    """
    folder = Path(folder)
    if (folder / "bundle" / "bundle.json").is_file():
        folder = folder / "bundle"
    content = read_json(folder / "bundle.json", "bundle")
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise InputError(
            f"{folder} has the bundle format {content.get('format')!r}.",
            expected=f"format {FORMAT}",
            fix="use the version of cytolens that wrote it, or write it again.",
        )
    card = from_dict(BundleCard, content, str(folder / "bundle.json"))
    path = folder / MODEL
    if not path.is_file():
        raise InputError(f"The bundle at {folder} lacks {MODEL}.")
    if sha256_file(path) != card.sha256:
        raise InputError(
            f"{path} is not the model that bundle.json describes.",
            expected=f"SHA-256 {card.sha256}",
            fix="fetch the bundle again; do not use this one.",
        )
    return _assemble(card, load_state(path))


def _assemble(card: BundleCard, state: dict[str, torch.Tensor]) -> Bundle:
    bare = Weights(card.backbone, None, card.card, "bundle")
    body = Body(create_backbone(bare), bare, card.model.pool)
    head = create_head(card.feature_shape, len(card.classes), card.model)
    for module, prefix in ((body.net, "net."), (head, "head.")):
        part = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(part, strict=True)
        except RuntimeError as error:
            raise InputError(
                f"The bundle's model does not fit its bundle.json: {error}.",
                fix="fetch the bundle again; do not use this one.",
            ) from error
    return Bundle(card, body, head)
