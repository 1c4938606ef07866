"""The dials of a phantom set."""

from __future__ import annotations

from dataclasses import dataclass

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.data.phantom.kinds import KINDS

SIZES = (48, 1024)  # px, smallest and largest side of an image


@dataclass(frozen=True)
class PhantomConfig:
    """A phantom set: the same settings give the same images, byte for byte, on the same machine.

    Raises:
        InputError: settings that no set can have, all of them at once.
    """

    tissue: str = "pap"  # a registered kind of tissue
    images: int = 400  # in all
    class_shares: tuple[float, ...] = ()  # relative sizes of the classes; empty: all equal
    size: int = 128  # px, square
    patients: int = 24  # at least one a class
    sites: int = 2  # laboratories; each patient belongs to one
    seed: int = 0  # of everything that is drawn
    patient_effect: float = 0.5  # 0…1: own stain, focus, light and cell forms of each patient
    site_effect: float = 0.3  # 0…1: the same of each site
    class_separation: float = 1.0  # 0: classes look alike; 1: learnable, overlapping; 2: easy
    label_patient_correlation: float = 0.6  # 0: same class mix in all patients; 1: one class each
    cause: tuple[str, ...] = ()  # features that alone carry the label; empty: all of them

    def __post_init__(self) -> None:
        kind = KINDS.get(self.tissue)
        problems = [*self._counts(len(kind.classes)), *self._dials()]
        for name in self.cause:
            if name not in kind.features:
                near = did_you_mean(name, kind.features)
                problems.append(
                    f"cause: {name!r} is no feature of {self.tissue!r}{near}; "
                    f"there are {', '.join(kind.features)}"
                )
        if problems:
            many = "s" if len(problems) > 1 else ""
            raise InputError(
                f"Phantoms cannot be made with {len(problems)} of these settings.",
                rows=problems,
                fix=f"correct the setting{many} above.",
            )

    def _counts(self, classes: int) -> list[str]:
        problems = []
        if self.patients < classes:
            problems.append(
                f"patients: {self.patients} for {classes} classes; at least {classes} are needed"
            )
        if not 1 <= self.sites <= self.patients:
            problems.append(f"sites: {self.sites}; expected 1 to {self.patients} (the patients)")
        if self.images < max(self.patients, classes):
            problems.append(
                f"images: {self.images}; at least one a patient and class is needed "
                f"({max(self.patients, classes)})"
            )
        if not SIZES[0] <= self.size <= SIZES[1]:
            problems.append(f"size: {self.size} px; expected {SIZES[0]} to {SIZES[1]}")
        if self.seed < 0:
            problems.append(f"seed: {self.seed}; expected 0 or more")
        shares = self.class_shares
        if shares and (len(shares) != classes or min(shares) <= 0):
            problems.append(f"class_shares: {list(shares)}; expected {classes} numbers above 0")
        return problems

    def _dials(self) -> list[str]:
        problems = []
        for name in ("patient_effect", "site_effect", "label_patient_correlation"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                problems.append(f"{name}: {value}; expected 0 to 1")
        if not 0 <= self.class_separation <= 5:
            problems.append(f"class_separation: {self.class_separation}; expected 0 to 5")
        return problems
