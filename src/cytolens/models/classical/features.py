"""The groups of handcrafted features by name, and the sets of groups that a recipe may ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.core.registry import Registry
from cytolens.models.classical import colour, glcm, lbp, shape
from cytolens.models.classical.sample import Sample


@dataclass(frozen=True)
class FeatureGroup:
    """A group of features of one image.

    Attributes:
        title: what it looks at, for listings.
        names: of its numbers, in order.
        compute: Sample -> float64 [len(names)], always finite.
        version: raised when the same image gives other numbers.
        sees_masks: whether a mask changes the numbers.
    """

    title: str
    names: tuple[str, ...]
    compute: Callable[[Sample], NDArray[np.float64]]
    version: int = 1
    sees_masks: bool = False


@dataclass(frozen=True)
class FeatureSet:
    """What `classifier.features` names.

    Attributes:
        title: what it is, for listings.
        groups: of handcrafted features, side by side; empty for "deep" and "none".
    """

    title: str
    groups: tuple[str, ...] = ()


FEATURES: Registry[FeatureGroup] = Registry("feature group")
FEATURE_SETS: Registry[FeatureSet] = Registry("kind of features")

FEATURES.register(
    "glcm", FeatureGroup("texture: grey-level co-occurrence (Haralick 1973)", glcm.NAMES, glcm.glcm)
)
FEATURES.register(
    "lbp", FeatureGroup("texture: local binary patterns (Ojala 2002)", lbp.NAMES, lbp.lbp)
)
FEATURES.register(
    "colour",
    FeatureGroup("colour: statistics in RGB, HSV and L*a*b*", colour.NAMES, colour.colour),
)
FEATURES.register(
    "shape",
    FeatureGroup(
        "shape and density of nuclei and cytoplasm", shape.NAMES, shape.shape, sees_masks=True
    ),
)
FEATURES.register(
    "colour_histogram",
    FeatureGroup(
        "colour histogram alone: how far one gets without looking at cells",
        colour.HISTOGRAM_NAMES,
        colour.colour_histogram,
    ),
)

FEATURE_SETS.register("deep", FeatureSet("features of the frozen backbone of `[model]`"))
FEATURE_SETS.register(
    "handcrafted",
    FeatureSet("glcm, lbp, colour and shape together", ("glcm", "lbp", "colour", "shape")),
)
for _name in FEATURES:
    FEATURE_SETS.register(_name, FeatureSet(FEATURES.get(_name).title, (_name,)))
FEATURE_SETS.register("none", FeatureSet("nothing: for the majority class alone"))


def groups_of(features: str) -> tuple[str, ...]:
    """Return the groups of handcrafted features that a set is made of.

    Raises:
        InputError: no set of this name.
    """
    return FEATURE_SETS.get(features).groups


def describe(sample: Sample, groups: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of each group of one image."""
    found = {name: FEATURES.get(name).compute(sample) for name in groups}
    for name, values in found.items():
        assert values.shape == (len(FEATURES.get(name).names),), name
        assert np.isfinite(values).all(), f"{name} is not finite"
    return found
