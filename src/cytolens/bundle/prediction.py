"""What a bundle says of one image."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Decision = Literal["clear", "abnormal", "refer"]


@dataclass(frozen=True)
class Strangeness:
    """How unlike the training images an image is: `score` above `limit` is out of distribution."""

    score: float
    limit: float

    @property
    def out(self) -> bool:
        return self.score > self.limit


@dataclass(frozen=True)
class NearExample:
    """A training image that the bundle carries, and how far an image is from it.

    Attributes:
        number: of the example, from 1; it says nothing of files or patients.
        label: its class.
        distance: between features of unit length, 0 (the same) to 2.
    """

    number: int
    label: str
    distance: float


@dataclass(frozen=True)
class Prediction:
    """What a bundle says of one image. A finding of a machine, never a diagnosis.

    Attributes:
        image: the path or name, or "" for an array.
        label: the most probable class; None when the image could not be used.
        probabilities: by class, calibrated where the bundle can; empty when it could not be used.
        problem: why the image could not be used, or "".
        classes_in_set: classes that hold the truth at `level`; empty where the bundle makes none.
        level: of that set, such as 0.9.
        decision: "clear", "abnormal" or "refer"; None where the bundle knows no abnormal classes
            and has nothing against the image.
        reasons: why the case is referred, sentences.
        strangeness: None where the bundle cannot tell.
        examples: the nearest training images, where they were asked for and the bundle carries
            some; the nearest first.
    """

    image: str
    label: str | None
    probabilities: dict[str, float]
    problem: str = ""
    classes_in_set: tuple[str, ...] = ()
    level: float | None = None
    decision: Decision | None = None
    reasons: tuple[str, ...] = field(default_factory=tuple)
    strangeness: Strangeness | None = None
    examples: tuple[NearExample, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, as `cytolens predict --format json` prints it."""
        strange = self.strangeness
        return {
            "image": self.image,
            "label": self.label,
            "probabilities": self.probabilities,
            "set": list(self.classes_in_set),
            "level": self.level,
            "decision": self.decision,
            "reasons": list(self.reasons),
            "strangeness": strange
            and {"score": strange.score, "limit": strange.limit, "out": strange.out},
            "examples": [asdict(one) for one in self.examples],
            "problem": self.problem,
        }


def unusable(image: str, problem: str) -> Prediction:
    """Return the prediction of an image that could not be used."""
    return Prediction(image, None, {}, problem)
