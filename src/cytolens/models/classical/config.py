"""What a recipe says about a classical classifier."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassifierConfig:
    """The `[classifier]` table: a classifier that is fitted instead of training the network.

    Attributes:
        kind: a registered classifier; "none" trains the network.
        features: a registered kind of features that it is fitted on; "deep" are those of the
            frozen backbone.
    """

    kind: str = "none"
    features: str = "deep"
