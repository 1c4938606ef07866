"""Several bundles as one: mean probabilities, the widest sets, the strictest referral."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.assessment import left_open
from cytolens.bundle.card import find_bundle
from cytolens.bundle.predict import Bundle, Look, load_bundle, predict_one
from cytolens.bundle.prediction import Decision, Prediction, Strangeness
from cytolens.bundle.runtime import Precision
from cytolens.bundle.stream import Named, predict_files
from cytolens.core.errors import InputError

_LEAST = 2

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Looks = tuple[Look, ...]  # a member's each


class Ensemble:
    """Bundles of the same classes, asked together; see `load_ensemble`.

    - The probability of a class is the mean of the members' calibrated ones.
    - The set of classes is the union of the members' sets, and the most probable class. A union
      holds the truth wherever a member's set does: its coverage is at least that of each member,
      and `level` is the lowest of their levels. It is conservative: larger than a set fitted to
      the mean would be.
    - The strictest member decides: an image is referred as soon as one refers it, as one calls it
      clear and another abnormal, or as the union leaves open which of the two it is (without
      abnormal classes: which class). `strangeness` is that of the member that finds it strangest.
    """

    def __init__(self, members: Sequence[Bundle]) -> None:
        self.members = tuple(members)
        self._abnormal = _check(self.members)

    @property
    def abnormal(self) -> tuple[str, ...]:
        """The classes that count as abnormal, if any."""
        return self._abnormal or ()

    @property
    def classes(self) -> tuple[str, ...]:
        return self.members[0].classes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the largest input of a member's network."""
        return max(member.size for member in self.members)

    def probabilities(
        self, images: Sequence[Image], *, calibrated: bool = True
    ) -> NDArray[np.float64]:
        """Return mean class probabilities, float64 [n, k], of RGB images of any size."""
        tables = [m.probabilities(images, calibrated=calibrated) for m in self.members]
        return np.asarray(np.mean(tables, axis=0), np.float64)

    def predict(self, image: Path | str | Image) -> Prediction:
        """Predict one image, a path or a uint8 RGB array [H, W, 3].

        Raises:
            InputError: the image cannot be used.
        """
        return predict_one(self.predict_arrays, image)

    def predict_arrays(
        self, images: Sequence[Image], names: Sequence[str] | None = None
    ) -> list[Prediction]:
        """Predict some images at once.

        Args:
            images: uint8 RGB arrays [H, W, 3] of any size.
            names: of the images; empty ones by default.

        Raises:
            InputError: something else than images.
        """
        answers = [member.predict_arrays(images, names) for member in self.members]
        return [self._together(list(row)) for row in zip(*answers, strict=True)]

    def predict_many(self, paths: Iterable[Path | str]) -> Iterator[Prediction]:
        """Yield a prediction for each path, in order; a bad file does not stop the rest."""
        return predict_files(self, paths)

    def look(self, image: Image) -> Looks:
        """Prepare and check one image for every member; see `Bundle.look`."""
        return tuple(member.look(image) for member in self.members)

    def predict_looks(
        self, batches: Iterable[Sequence[Named[Looks]]]
    ) -> Iterator[Sequence[Prediction]]:
        """Yield the predictions of each batch, in order; see `stream.Streaming`."""
        copies = tee(batches, len(self.members))
        streams = [
            member.predict_looks(_own(copy, number))
            for number, (member, copy) in enumerate(zip(self.members, copies, strict=True))
        ]
        for answers in zip(*streams, strict=True):
            yield [self._together(list(row)) for row in zip(*answers, strict=True)]

    def _together(self, answers: list[Prediction]) -> Prediction:
        tables = [[one.probabilities[name] for name in self.classes] for one in answers]
        mean = np.mean(tables, axis=0)
        label = self.classes[int(mean.argmax())]
        levels = [one.level for one in answers if one.level is not None]
        held = {name for one in answers for name in one.classes_in_set} | {label}
        inside = tuple(name for name in self.classes if levels and name in held)
        decision, reasons = self._decided(answers, inside)
        return Prediction(
            image=answers[0].image,
            label=label,
            probabilities=dict(zip(self.classes, mean.tolist(), strict=True)),
            classes_in_set=inside,
            level=min(levels, default=None),
            decision=decision,
            reasons=tuple(reasons),
            strangeness=_strangest(answers),
        )

    def _decided(
        self, answers: Sequence[Prediction], inside: tuple[str, ...]
    ) -> tuple[Decision | None, list[str]]:
        """Return the decision of the strictest member, and every reason once."""
        reasons = list(dict.fromkeys(reason for one in answers for reason in one.reasons))
        said = {one.decision for one in answers}
        if {"clear", "abnormal"} <= said:
            reasons.append("one model finds it clear, another abnormal")
        if not reasons:
            reasons = left_open(inside, self._abnormal)
        if reasons:
            return "refer", reasons
        return next((one.decision for one in answers if one.decision is not None), None), []


def load_ensemble(
    folders: Sequence[Path | str], runtime: str = "auto", precision: Precision = "f32"
) -> Ensemble:
    """Load several bundles to be asked as one, each as `load_bundle` does.

    Args:
        folders: bundles, or runs that hold one; two or more.

    Raises:
        InputError: fewer than two, one given twice, classes that differ, or what `load_bundle`
            refuses.
    """
    places = [find_bundle(folder).resolve() for folder in folders]
    if len(set(places)) < len(places):
        raise InputError("A bundle is given more than once.", rows=[str(p) for p in places])
    return Ensemble([load_bundle(folder, runtime, precision) for folder in folders])


def _check(members: Sequence[Bundle]) -> tuple[str, ...] | None:
    """Refuse members that do not go together; return the abnormal classes where they know some."""
    if len(members) < _LEAST:
        raise InputError(f"{len(members)} bundle is no ensemble.", expected="two or more")
    first = members[0]
    for member in members[1:]:
        if member.classes != first.classes:
            raise InputError(
                "Bundles of different classes cannot be one ensemble.",
                rows=[f"{m.folder}: {', '.join(m.classes)}" for m in members],
                expected="the same classes in the same order",
            )
    abnormal = {m.folder: m.assessment.point.abnormal for m in members if m.assessment.point}
    if len({frozenset(names) for names in abnormal.values()}) > 1:
        raise InputError(
            "Bundles that call different classes abnormal cannot be one ensemble.",
            rows=[f"{folder}: {', '.join(names)}" for folder, names in abnormal.items()],
        )
    return next(iter(abnormal.values()), None)


def _own(batches: Iterable[Sequence[Named[Looks]]], number: int) -> Iterator[Sequence[Named[Look]]]:
    """Yield what one member takes of each batch."""
    for batch in batches:
        yield [(name, looks[number]) for name, looks in batch]


def _strangest(answers: Sequence[Prediction]) -> Strangeness | None:
    found = [one.strangeness for one in answers if one.strangeness is not None]
    return max(found, key=lambda one: one.score / one.limit, default=None)
