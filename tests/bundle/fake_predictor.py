"""A predictor without a network: the redder an image, the more of class "red"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cytolens.bundle.prediction import Prediction, Strangeness


@dataclass
class FakePredictor:
    """Says "refer" where it is unsure, and keeps what it was asked.

    Attributes:
        batches: the number of images of each call.
        before: called with the number of calls so far, before each.
    """

    classes: tuple[str, ...] = ("blue", "red")
    size: tuple[int, int] = (48, 48)
    batches: list[int] = field(default_factory=list)
    before: Callable[[int], None] | None = None

    def predict_arrays(
        self, images: Sequence[Any], names: Sequence[str] | None = None
    ) -> Sequence[Prediction]:
        if self.before is not None:
            self.before(len(self.batches))
        self.batches.append(len(images))
        return [
            self._one(image, name)
            for image, name in zip(images, names or [""] * len(images), strict=True)
        ]

    def look(self, image: Any) -> Any:
        return image

    def predict_looks(
        self, batches: Iterable[Sequence[tuple[str, Any]]]
    ) -> Iterator[Sequence[Prediction]]:
        for batch in batches:
            yield self.predict_arrays([image for _, image in batch], [name for name, _ in batch])

    def _one(self, image: Any, name: str) -> Prediction:
        assert image.dtype == np.uint8 and image.shape[2] == 3
        mean = image.reshape(-1, 3).mean(axis=0) / 255
        red = float(np.clip(0.5 + (mean[0] - mean[2]), 0, 1))
        label = self.classes[int(red > 0.5)]
        unsure = 0.4 < red < 0.6
        return Prediction(
            name,
            label,
            dict(zip(self.classes, (1 - red, red), strict=True)),
            classes_in_set=self.classes if unsure else (label,),
            level=0.9,
            decision="refer" if unsure else "clear",
            reasons=("The classes are as probable.",) if unsure else (),
            strangeness=Strangeness(1.0, 2.0),
        )
