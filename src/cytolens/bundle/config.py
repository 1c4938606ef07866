"""What a recipe says about the bundle of its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytolens.core.errors import InputError

_EXPORTS = ("onnx", "openvino")
MOST_EXAMPLES = 500


@dataclass(frozen=True)
class BundleConfig:
    """The `[bundle]` table.

    Attributes:
        version: of the model, semantic; raise it when the model changes.
        exports: forms in which the bundle runs without torch: "onnx", "openvino"; none: it needs
            torch.
        calibration: of probabilities; "auto" takes the simplest one that is not clearly worse.
        level: share of images whose set of classes shall hold the true one.
        sets: "aps" (sets grow with doubt), "lac" (smallest sets) or "raps" (as "aps", but long ones
            are kept short; for many classes).
        class_conditional: the level holds for each class, not only over all images.
        empty_sets: whether a set may be empty ("lac" alone has such sets). Then sets hold the truth
            about as often as `level` says even where the model is right more often, and an image
            without a likely class is referred; otherwise the most probable class is always in.
        abnormal: classes that count as abnormal; none: the bundle sorts nothing into clear and
            abnormal.
        sensitivity: wanted share of abnormal images that are not called clear.
        specificity: wanted share of normal images that are not called abnormal.
        acceptance: share of own images that shall pass as being of the kind it was trained on.
        examples: so many training images go into the bundle as small pictures, so that those
            nearest to a new image can be shown. Whoever has the bundle can look at them, and they
            are somebody's patients: 0 unless that is allowed.
    """

    version: str = "1.0.0"
    exports: tuple[str, ...] = _EXPORTS
    calibration: Literal["auto", "none", "temperature", "vector", "isotonic"] = "auto"
    level: float = 0.9
    sets: Literal["aps", "lac", "raps"] = "aps"
    class_conditional: bool = False
    empty_sets: bool = False
    abnormal: tuple[str, ...] = ()
    sensitivity: float = 0.95
    specificity: float = 0.95
    acceptance: float = 0.95
    examples: int = 0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.exports) - set(_EXPORTS)):
            raise InputError(
                f"bundle.exports names {unknown[0]!r}.", expected=f"some of {', '.join(_EXPORTS)}"
            )
        parts = self.version.split(".")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            raise InputError(
                f"bundle.version = {self.version!r} is no semantic version.", expected='"1.0.0"'
            )
        for name in ("level", "sensitivity", "specificity"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"bundle.{name} = {getattr(self, name)}.", expected="0 < x < 1")
        if self.empty_sets and self.sets != "lac":
            raise InputError(
                f"bundle.empty_sets has no effect with bundle.sets = {self.sets!r}.",
                fix='set bundle.sets = "lac", or leave it out.',
            )
        if not 0.5 <= self.acceptance < 1:
            raise InputError(f"bundle.acceptance = {self.acceptance}.", expected="0.5 to < 1")
        if not 0 <= self.examples <= MOST_EXAMPLES:
            raise InputError(
                f"bundle.examples = {self.examples}.", expected=f"0 to {MOST_EXAMPLES}"
            )
