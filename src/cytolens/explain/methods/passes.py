"""What the maps that need no gradients share: features of one image, checked."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytolens.core.errors import InputError
from cytolens.explain.layers import Opened


def features_of(opened: Opened, image: NDArray[np.uint8]) -> Tensor:
    """Return the layer's output for one image [H, W, 3], of batch size 1.

    Raises:
        InputError: values that are not finite.
    """
    features = opened.features(torch.from_numpy(image[None]))
    if not torch.isfinite(features).all():
        raise InputError(
            f"The activations at {opened.layer.name} are not finite.",
            fix="look at the model's weights.",
        )
    return features


def check_values(values: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Return the target's values of changed images or features if they can be compared.

    Raises:
        InputError: values that are not finite.
    """
    wrong = np.count_nonzero(~np.isfinite(values))
    if wrong:
        raise InputError(
            f"The target is not finite for {what}.",
            rows=[f"{wrong} of {values.size} values"],
            fix="look at the model's weights.",
        )
    return values
