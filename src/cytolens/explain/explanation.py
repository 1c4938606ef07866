"""An explanation: a map over an image with its raw magnitude, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError

EMPTY = "the map is zero everywhere: the method found nothing that speaks for the target"


@dataclass(frozen=True)
class Explanation:
    """What a method says of one image.

    Attributes:
        map: float32 [H, W] at the network's input resolution, of raw magnitude: never scaled to
            0…1. Positive speaks for the target; methods that are not signed have no negative part.
        method: registered name.
        target: name of what is explained.
        settings: of the method, with every default written out.
        seconds: of this image; of a batch, its share.
        layer: where the network was opened, or None.
        facts: what the method says of itself (LIME: "r2", …).
        segments: int32 [H, W], superpixels numbered from 0, of the methods that have them.
    """

    map: NDArray[np.float32]
    method: str
    target: str
    settings: Mapping[str, Any]
    seconds: float
    layer: str | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    segments: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        assert self.map.ndim == 2 and self.map.dtype == np.float32
        if not np.isfinite(self.map).all():
            raise InputError(
                f"{self.method} gave a map with values that are not finite.",
                rows=[f"{np.count_nonzero(~np.isfinite(self.map))} of {self.map.size} pixels"],
                fix="look at the model's weights; explain another image to see whether it is it.",
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before looking at the map."""
        return () if self.map.any() else (EMPTY,)

    @property
    def positive(self) -> NDArray[np.float32]:
        """What speaks for the target, float32 [H, W], zero elsewhere."""
        return np.maximum(self.map, 0)
