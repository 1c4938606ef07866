"""What scores images: a bundle, or several of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.prediction import Prediction


class Predictor(Protocol):
    """What scores images.

    Attributes:
        classes: in the order of the scores.
        size: height and width in pixels of the network's input.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def size(self) -> tuple[int, int]: ...
    def predict_arrays(
        self, images: Sequence[NDArray[np.uint8]], names: Sequence[str] | None = None
    ) -> Sequence[Prediction]:
        """Return what is said of uint8 RGB images [H, W, 3] of any size, in order."""
        ...
