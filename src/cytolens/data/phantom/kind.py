"""What a kind of phantom tissue is: classes, the features that tell them apart, a painter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cytolens.data.phantom.canvas import Canvas
from cytolens.data.phantom.optics import Look
from cytolens.data.phantom.shapes import Field

BASE_SIZE = 128  # px; every length in a painter is meant at this size and scaled to the asked one


@dataclass(frozen=True)
class Feature:
    """One way in which classes differ.

    `region` is where on the picture it is to be seen (nucleus, cytoplasm or background);
    `means` are the class means, in units of the deviation within a class.
    """

    region: str
    means: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """All that a painter needs: `traits` holds the drawn value of every feature, in deviations."""

    canvas: Canvas
    traits: Mapping[str, float]
    look: Look
    stains: Field  # [S, 3] optical density of this slide's stains
    scale: float  # px of this picture a px of a `BASE_SIZE` picture
    rng: np.random.Generator


@dataclass(frozen=True)
class Kind:
    """A kind of tissue; `paint` draws a scene's cells onto its canvas and mask."""

    title: str
    classes: tuple[str, ...]
    features: Mapping[str, Feature]
    stains: tuple[tuple[float, float, float], ...]  # usual R, G, B optical densities
    white: tuple[float, float, float]  # usual colour of the empty slide, 0…1
    blur: float  # usual defocus in px at BASE_SIZE
    um_per_px: float  # at BASE_SIZE
    paint: Callable[[Scene], None]

    def __post_init__(self) -> None:
        for name, feature in self.features.items():
            assert len(feature.means) == len(self.classes), f"{self.title}: means of {name}"
