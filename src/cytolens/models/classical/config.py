"""What a recipe says about a classical classifier."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean


@dataclass(frozen=True)
class ClassifierConfig:
    """The `[classifier]` table: a classifier that is fitted instead of training the network.

    Attributes:
        kind: a registered classifier; "none" trains the network.
        features: what it is fitted on. "deep" are those of the frozen backbone, "handcrafted" is
            texture (glcm, lbp), colour and shape together; or one group of features; "none" for
            the majority class.
        masks: "auto" takes the shape of nuclei from the manifest's masks where every image has
            one, "ignore" from the built-in segmentation, as a new image without a mask would.
        c: inverse strength of the penalty of the support vector machines, the logistic
            regression and the extreme learning machine.
        gamma: of the kernels of svm_rbf and svm_poly; 0 is 1 / (features · their variance).
        degree: of the polynomial kernel.
        neighbours: of knn.
        trees: of the random forest.
        hidden: units of the extreme learning machine.
    """

    kind: str = "none"
    features: str = "deep"
    masks: Literal["auto", "ignore"] = "auto"
    c: float = 1.0
    gamma: float = 0.0
    degree: int = 3
    neighbours: int = 5
    trees: int = 300
    hidden: int = 500

    def __post_init__(self) -> None:
        from cytolens.models.classical.classifiers import CLASSIFIERS

        if self.kind != "none" and self.kind not in CLASSIFIERS:
            raise InputError(
                f"Unknown classifier {self.kind!r}{did_you_mean(self.kind, CLASSIFIERS)}.",
                expected=f"none, {', '.join(CLASSIFIERS)}",
            )
        self._check_values()
        self._check_effect(() if self.kind == "none" else CLASSIFIERS.get(self.kind).settings)
        self._check_features()

    @property
    def used(self) -> bool:
        """Whether a classifier is fitted at all."""
        return self.kind != "none"

    @property
    def sees_masks(self) -> bool:
        """Whether the classifier's numbers depend on the masks of the manifest."""
        from cytolens.models.classical.features import FEATURES, groups_of

        shaped = any(FEATURES.get(name).sees_masks for name in groups_of(self.features))
        return self.used and shaped and self.masks == "auto"

    def _check_values(self) -> None:
        if self.c <= 0 or self.gamma < 0:
            raise InputError("classifier.c must be above 0, and gamma not below.")
        if min(self.degree, self.neighbours, self.trees, self.hidden) < 1:
            raise InputError("degree, neighbours, trees and hidden must be at least 1.")

    def _check_effect(self, used: tuple[str, ...]) -> None:
        rest = [f for f in fields(self) if f.name not in ("kind", "features", "masks", *used)]
        if idle := [f.name for f in rest if getattr(self, f.name) != f.default]:
            raise InputError(
                f"{', '.join(idle)} has no effect with classifier.kind = {self.kind!r}.",
                expected=f"only {', '.join(used)}" if used else "none of these settings",
                fix="remove it, or choose another kind.",
            )

    def _check_features(self) -> None:
        from cytolens.models.classical.features import FEATURE_SETS, groups_of

        if not self.used:
            if self.features != "deep" or self.masks != "auto":
                raise InputError(
                    "classifier.features and masks have no effect with classifier.kind = 'none'.",
                    fix="choose a classifier, or remove them.",
                )
            return
        FEATURE_SETS.get(self.features)
        if self.kind == "majority" and self.features != "none":
            raise InputError(
                "classifier.kind = 'majority' looks at no features.",
                fix="set classifier.features = 'none'.",
            )
        if self.kind != "majority" and self.features == "none":
            raise InputError(
                f"classifier.kind = {self.kind!r} needs features.",
                expected=", ".join(n for n in FEATURE_SETS if n != "none"),
            )
        if self.masks == "ignore" and "shape" not in groups_of(self.features):
            raise InputError(
                "classifier.masks has no effect: only the group 'shape' looks at masks.",
                fix="choose features = 'shape' or 'handcrafted', or remove it.",
            )
