"""From a network's outputs to what may be said: probabilities, sets, and whom to ask instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.card import REFERENCE, BundleCard
from cytolens.bundle.checks import Checks
from cytolens.bundle.ood import LIMIT, Ood, OodCard, reason
from cytolens.bundle.prediction import Decision, Prediction, Strangeness
from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.evaluation.calibrators import NoCalibration, calibrator_from
from cytolens.evaluation.conformal import Conformal
from cytolens.evaluation.operating import TRIAGE, OperatingPoint

Image = NDArray[np.uint8]


class Assessment:
    """What a bundle knows beside its network; read from its description.

    Args:
        folder: of the bundle, whose files were checked.
        card: its description.

    Raises:
        InputError: a part that cannot be read, or that does not fit the classes.
    """

    def __init__(self, folder: Path, card: BundleCard) -> None:
        self.classes = card.classes
        self.calibrator = (
            NoCalibration()
            if card.calibration is None
            else calibrator_from(
                str(card.calibration.get("method")), card.calibration.get("parameters", {})
            )
        )
        self.conformal = None if card.conformal is None else Conformal.from_json(card.conformal)
        self._never_empty = card.conformal is None or bool(card.conformal.get("never_empty", True))
        self.ood = None
        if card.ood is not None:
            self.ood = _ood(folder, card.ood, vouched=REFERENCE in card.files)
        self.checks = None
        if card.checks is not None:
            self.checks = from_dict(Checks, card.checks, "the checks of the bundle")
        self.point = None
        if card.decision is not None:
            self.point = OperatingPoint.from_json(card.decision, card.classes)
        k = len(card.classes)
        if self.conformal is not None and len(self.conformal.quantiles) != k:
            raise InputError(f"The bundle's sets are not of its {k} classes.")

    def calibrated(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated probabilities [n, k] of the network's [n, k]."""
        return self.calibrator.apply(probabilities)

    def checked(self, image: Image) -> list[str]:
        """Return what the checks say of a uint8 RGB image [h, w, 3] as it was read."""
        return [] if self.checks is None else self.checks.problems(image)

    def predictions(
        self,
        names: Sequence[str],
        problems: Sequence[Sequence[str]],
        probabilities: NDArray[np.float64],
        features: NDArray[np.float32],
    ) -> list[Prediction]:
        """Assess some images.

        Args:
            problems: of each image, what `checked` says.
            probabilities: float64 [n, k], of the network.
            features: float32 [n, d], of the images as they are (no test-time view).
        """
        table = self.calibrated(probabilities)
        sets = None
        if self.conformal is not None:
            sets = self.conformal.sets(table, never_empty=self._never_empty)
        triage = None if self.point is None else self.point.triage(table)
        strange = None if self.ood is None else self.ood.score(features)
        found = []
        for row, (name, seen) in enumerate(zip(names, problems, strict=True)):
            strangeness = None if strange is None else Strangeness(float(strange[row]), LIMIT)
            inside = () if sets is None else self._named(sets[row])
            answer: Decision | None = None if triage is None else TRIAGE[int(triage[row])]  # type: ignore[assignment]
            reasons = self._reasons(seen, strangeness, inside, answer)
            found.append(
                Prediction(
                    image=name,
                    label=self.classes[int(table[row].argmax())],
                    probabilities=dict(zip(self.classes, table[row].tolist(), strict=True)),
                    classes_in_set=inside,
                    level=self.conformal.level if self.conformal else None,
                    decision="refer" if reasons else answer,
                    reasons=tuple(reasons),
                    strangeness=strangeness,
                )
            )
        return found

    def _named(self, inside: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(name for name, held in zip(self.classes, inside, strict=True) if held)

    def _reasons(
        self,
        seen: Sequence[str],
        strangeness: Strangeness | None,
        inside: tuple[str, ...],
        answer: Decision | None,
    ) -> list[str]:
        """Return why an expert should decide; nothing where the machine may."""
        reasons = list(seen)
        if strangeness is not None and strangeness.out:
            reasons.append(reason(strangeness.score))
        if self.conformal is not None and not inside:
            reasons.append("no class is likely enough")
        reasons += left_open(inside, self.point.abnormal if self.point else None)
        if answer == "refer":
            reasons.append("the probability of an abnormal finding is neither low nor high enough")
        return reasons


def left_open(inside: Sequence[str], abnormal: Sequence[str] | None) -> list[str]:
    """Return the sentence for a set of classes that leaves open what to do, or nothing.

    Args:
        inside: the classes of the set.
        abnormal: those that count as abnormal; None: every class is something else to do.
    """
    if abnormal is None:
        return [f"it may be {_listed(inside)}"] if len(inside) > 1 else []
    if set(inside) & set(abnormal) and set(inside) - set(abnormal):
        return [f"it may be normal or abnormal: {_listed(inside)}"]
    return []


def _ood(folder: Path, content: dict[str, Any], *, vouched: bool) -> Ood:
    from safetensors.numpy import load_file

    card = from_dict(OodCard, content, "the statistics of the bundle")
    if not vouched:
        raise InputError(f"The bundle at {folder} does not vouch for {REFERENCE}.")
    return Ood(card, load_file(folder / REFERENCE))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
