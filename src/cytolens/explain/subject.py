"""The network under explanation: its scores, fast or differentiable, and its layers."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cytolens.core.errors import InputError
from cytolens.explain.layers import Opened, open_network
from cytolens.features.engines import ENGINES, Engine, choose_engine
from cytolens.models.backbones import Body
from cytolens.pixels.config import PixelsConfig
from cytolens.pixels.preprocess import preprocess

CHUNK = 32  # perturbed images made at a time


class Whole(nn.Module):
    """Pixels [N, H, W, 3], uint8 or float of 0…255, to class scores [N, k].

    A binary network with one sigmoid output z is given two scores, -z/2 and z/2: their softmax is
    the two probabilities.
    """

    def __init__(self, body: nn.Module, head: nn.Module, output: str) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.output = output

    def forward(self, pixels: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(pixels))
        if self.output == "sigmoid":
            return torch.cat([-scores / 2, scores / 2], dim=1)
        return scores


class Subject:
    """A trained network, opened for explanation. Nothing is hooked and nothing is trained.

    Args:
        body, head: the network, put in inference mode; no parameter asks for gradients any more.
        output: "softmax" or "sigmoid".
        classes: names in the order of the scores.
        size: height and width of the network's input in pixels.
        pixels: how an image is brought to that size.
        engine: of the fast scores: a name of `features.engines`, or "auto".
    """

    def __init__(
        self,
        body: Body,
        head: nn.Module,
        output: str,
        classes: Sequence[str],
        size: tuple[int, int],
        pixels: PixelsConfig,
        engine: str = "auto",
    ) -> None:
        self.body = body.eval()
        self.head = head.eval()
        self.output = output
        self.classes = tuple(classes)
        self.size = size
        self.pixels = pixels
        self.whole = Whole(body, head, output).eval().requires_grad_(False)
        self._engine = choose_engine(engine)
        self._opened: dict[str, Opened] = {}

    def over(self, body: Body, head: nn.Module) -> Subject:
        """Return a subject that differs in its network alone."""
        return Subject(body, head, self.output, self.classes, self.size, self.pixels, self._engine)

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what the network sees of a uint8 RGB image [h, w, 3] of any size: [H, W, 3].

        Raises:
            InputError: not such an array (a grey image has one plane).
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"An array of shape {image.shape} and type {image.dtype} is not an image.",
                expected="uint8 RGB, [height, width, 3]",
            )
        return preprocess(image, self.pixels, self.size)

    def check(self, images: NDArray[np.uint8], targets: Sequence[object]) -> None:
        """Refuse a batch that methods cannot take.

        Raises:
            InputError: not uint8 [N, H, W, 3] of the network's size, or not a target an image.
        """
        wanted = (*self.size, 3)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
            raise InputError(
                f"Images of shape {images.shape} and type {images.dtype} cannot be explained.",
                expected=f"uint8 [N, {', '.join(map(str, wanted))}], what the network sees",
                fix="bring each image to that size with `Subject.prepare`.",
            )
        if len(targets) != len(images):
            raise InputError(f"{len(targets)} targets for {len(images)} images.")

    def scores(self, pixels: Tensor) -> Tensor:
        """Return class scores [N, k] of pixels [N, H, W, 3] (0…255); differentiable."""
        scores: Tensor = self.whole(pixels)
        return scores

    @cached_property
    def engine(self) -> Engine:
        """What computes scores of many images, float32 pixels in; compiled at the first use."""
        make = ENGINES.get(self._engine)
        # An engine may move its network to a device; the opened halves stay where they are.
        whole = copy.deepcopy(self.whole) if torch.cuda.is_available() else self.whole
        return make(whole, self.size, "f32", pixels="f32")

    def fast_scores(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield class scores [n, k] of float32 pixels [n, H, W, 3] (0…255), batch by batch."""
        yield from self.engine.run(batches)

    def masked_scores(
        self,
        image: NDArray[np.uint8],
        masks: Iterable[NDArray[np.float32]],
        baseline: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return class scores, float32 [M, k], of an image seen through masks.

        Args:
            image: uint8 [H, W, 3].
            masks: batches of float32 [m, H, W]: 1 shows the pixel, 0 the baseline; best at most
                `CHUNK` in each, so that memory stays small.
            baseline: float32 [3] or [H, W, 3]; None: the network's mean colour, where its
                normalised input is 0.
        """
        ground = self.mean_colour if baseline is None else np.asarray(baseline, np.float32)
        apart = image.astype(np.float32) - ground  # [H, W, 3]
        room = np.empty((0, *image.shape), np.float32)  # used again: fresh memory costs more time

        def seen() -> Iterator[NDArray[np.float32]]:
            nonlocal room
            for batch in masks:
                if len(batch) > len(room):
                    room = np.empty((len(batch), *image.shape), np.float32)
                made = room[: len(batch)]  # [m, H, W, 3]
                for mask, one in zip(batch, made, strict=True):  # one stays in a core's cache
                    cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB, one)
                    np.multiply(one, apart, out=one)
                    np.add(one, ground, out=one)
                yield made

        return np.concatenate(list(self.fast_scores(seen())))

    @property
    def mean_colour(self) -> NDArray[np.float32]:
        """The colour that is 0 after normalisation, float32 [3] of 0…255."""
        normalise = self.body.normalise
        colour: NDArray[np.float32] = (-normalise.shift / normalise.scale).flatten().numpy()
        return colour

    def opened(self, layer: str = "auto") -> Opened:
        """Return the network in two parts, open at a layer; see `layers.open_network`."""
        if layer not in self._opened:
            self._opened[layer] = open_network(self.whole, self.size, layer)
        return self._opened[layer]
