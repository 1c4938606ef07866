"""The preprocessing steps, one dataclass of parameters each, and their registry."""

from __future__ import annotations

from typing import Any, Protocol

from cytolens.core.registry import Registry
from cytolens.pixels.image import Image
from cytolens.pixels.steps.denoise import Gaussian, Median, NonLocalMeans
from cytolens.pixels.steps.enhance import Clahe, Sharpen
from cytolens.pixels.steps.hsv import HsvSegment
from cytolens.pixels.steps.macenko import Macenko
from cytolens.pixels.steps.reinhard import Reinhard


class Step(Protocol):
    """A preprocessing step: uint8 [H, W, 3] → uint8 [H, W, 3], no randomness."""

    def __call__(self, image: Image) -> Image: ...


STEPS: Registry[type[Any]] = Registry("preprocessing step")
STEPS.register("median", Median)
STEPS.register("gaussian", Gaussian)
STEPS.register("nlm", NonLocalMeans)
STEPS.register("sharpen", Sharpen)
STEPS.register("clahe", Clahe)
STEPS.register("reinhard", Reinhard)
STEPS.register("macenko", Macenko)
STEPS.register("hsv_segment", HsvSegment)
