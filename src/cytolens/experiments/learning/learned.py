"""What learning a fold gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Learned:
    """What a fold gave.

    Attributes:
        probabilities: float64 [test images, k], in the order of the fold's test ids.
        history: a dict an epoch, lines of `history.jsonl`; may be empty.
        facts: JSON data about the fold for `folds.json`: class weights, pairless batches, …
    """

    probabilities: NDArray[np.float64]
    history: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
