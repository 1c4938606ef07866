"""The explanations of a run: `explanations/` as `cytolens explain` wrote it, checked on reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.report.text import defined, number

FOLDER = "explanations"
FLOOR = "random_map"  # the method that every other must beat
PARTS = ("correct", "wrong", "class", "asked")
_FACTS = {  # those that tell how far a map can be believed
    "r2": "R²",
    "stability": "stability",
    "completeness_error": "completeness error",
}
_FAINT = 0.001  # of a method's usual magnitude: what lies below is said to be faint
_FIX = "run cytolens explain again; it writes the folder anew."


@dataclass(frozen=True)
class Explainer:
    """A method as the folder names it; `signed` if its maps speak against the target too."""

    name: str
    title: str
    source: str
    signed: bool


@dataclass(frozen=True)
class Explained:
    """What one method said of one image.

    Attributes:
        key: of the map in `maps.npz`.
        facts: what the method says of itself, name → number.
        notes: what a reader must know before looking at the map.
    """

    method: str
    key: str
    facts: Mapping[str, Any]
    notes: Sequence[str]

    @property
    def words(self) -> str:
        """The facts that a reader needs, in words: "R² 0.81, stability 0.93"."""
        return ", ".join(
            f"{name} {number(self.facts[key], 2)}"
            for key, name in _FACTS.items()
            if defined(self.facts.get(key)) is not None
        )


@dataclass(frozen=True)
class Case:
    """One explained image.

    Attributes:
        file: the picture that the network saw.
        label: its true class, None where nobody knows it.
        part: why it was chosen, one of `PARTS`.
        target: what is explained, in the words of the folder.
        found: what each method said, by its name.
    """

    id: str
    file: Path
    label: str | None
    predicted: str
    probability: float | None
    part: str
    target: str
    found: Mapping[str, Explained]


@dataclass(frozen=True)
class Map:
    """A map as it was computed.

    Attributes:
        values: float32 [H, W], raw magnitude at the size of the picture.
        segments: int32 [H, W] from 0, where the method explains by superpixels.
    """

    values: NDArray[np.float32]
    segments: NDArray[np.int32] | None

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return float(np.abs(self.values).max())

    @property
    def empty(self) -> bool:
        return self.largest == 0


@dataclass(frozen=True)
class Explanations:
    """The content of the folder; the maps are read when they are asked for.

    Attributes:
        folder: `explanations/` of the run.
        methods: in the order of their columns.
        cases: in the order of their rows.
        notes: how the images were chosen, which were left out, and what else must be known.
        judgement: content of `judgement.json`, None where the methods were not put to the test.
    """

    folder: Path
    methods: Sequence[Explainer]
    cases: Sequence[Case]
    notes: Sequence[str]
    judgement: Mapping[str, Any] | None

    @cached_property
    def maps(self) -> Mapping[str, Map]:
        """Every map by its key.

        Raises:
            InputError: `maps.npz` is missing or damaged, or lacks a map.
        """
        path = self.folder / "maps.npz"
        keys = [found.key for case in self.cases for found in case.found.values()]
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {key: _map(stored, key, path) for key in keys}
        except (BadZipFile, EOFError, KeyError, OSError, ValueError) as error:
            raise InputError(f"{path} is not maps: {error}.", fix=_FIX) from error

    @cached_property
    def _usual(self) -> Mapping[str, float]:
        """The median of each method's largest magnitudes."""
        found: dict[str, list[float]] = {}
        for case in self.cases:
            for said in case.found.values():
                found.setdefault(said.method, []).append(self.maps[said.key].largest)
        return {name: float(np.median(values)) for name, values in found.items()}

    def words(self, said: Explained) -> str:
        """Return what must stand beside a map: the facts of its method, and whether it is faint.

        Each map is coloured by its own largest magnitude; one far below the others of its method
        would look like them.
        """
        found, usual = self.maps[said.key].largest, self._usual[said.method]
        faint = "far fainter than others" if 0 < found < _FAINT * usual else ""
        return ", ".join(filter(None, (said.words, faint)))

    def picture(self, case: Case) -> NDArray[np.uint8]:
        """Return what the network saw, uint8 [H, W, 3].

        Raises:
            InputError: the picture cannot be read, or has another size than a map of it.
        """
        try:
            with Image.open(case.file) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{case.file} is not a picture: {error}.", fix=_FIX) from error
        for found in case.found.values():
            shape = self.maps[found.key].values.shape
            if shape != pixels.shape[:2]:
                raise InputError(
                    f"The map {found.key} is of another size than {case.file}.",
                    rows=[f"map: {shape}", f"picture: {pixels.shape[:2]}"],
                    fix=_FIX,
                )
        return pixels

    def judged(self, method: str) -> Mapping[str, Any] | None:
        """Return what the judgement says of a method; None where it does not know it."""
        listed = self.judgement["methods"] if self.judgement else []
        return next((entry for entry in listed if entry["name"] == method), None)

    def trusted(self, method: str) -> bool:
        """Return whether the maps may be shown as insight: not the floor, and not found wanting.

        A method that was not put to the test is shown; the report says that it was not.
        """
        found = self.judged(method)
        return method != FLOOR and (found is None or bool(found["trusted"]))


def read_explanations(run: Path) -> Explanations | None:
    """Return the explanations of a run folder; None without them.

    Raises:
        InputError: a file is damaged.
    """
    folder = run / FOLDER
    path = folder / "explanations.json"
    if not path.is_file():
        return None
    content = read_json(path, "list of explanations")
    try:
        found = Explanations(
            folder=folder,
            methods=[
                Explainer(
                    str(method["name"]),
                    str(method["title"]),
                    str(method.get("source", "")),
                    bool(method["signed"]),
                )
                for method in content["methods"]
            ],
            cases=[_case(entry, folder) for entry in content["images"]],
            notes=[
                *(str(note) for note in content.get("notes") or []),
                *(f"{one['file']}: {one['problem']}" for one in content.get("skipped") or []),
            ],
            judgement=_judgement(folder / "judgement.json"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a list of explanations: {error!r}.", fix=_FIX) from error
    if wrong := sorted({case.part for case in found.cases} - set(PARTS)):
        raise InputError(
            f"{path} names parts that do not exist.",
            rows=wrong,
            expected=", ".join(PARTS),
            fix=_FIX,
        )
    return found


def _case(entry: Mapping[str, Any], folder: Path) -> Case:
    probability = entry["probability"]
    return Case(
        id=str(entry["id"]),
        file=folder / str(entry["file"]),
        label=None if entry["label"] is None else str(entry["label"]),
        predicted=str(entry["predicted"]),
        probability=None if probability is None else float(probability),
        part=str(entry["part"]),
        target=str(entry["target"]),
        found={
            str(one["method"]): Explained(
                str(one["method"]),
                str(one["key"]),
                dict(one.get("facts") or {}),
                [str(note) for note in one.get("notes") or []],
            )
            for one in entry["explanations"]
        },
    )


def _judgement(path: Path) -> Mapping[str, Any] | None:
    """Return the judgement with the keys that the report cannot do without."""
    if not path.is_file():
        return None
    content = read_json(path, "judgement of explanations")
    try:
        for entry in content["methods"]:
            _ = entry["name"], entry["title"], entry["trusted"], dict(entry["scores"])
        for entry in content["ranking"]:
            _ = entry["name"], float(entry["rank"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a judgement of explanations: {error!r}.",
            fix="run cytolens explain --judge again.",
        ) from error
    return dict(content)


def _map(stored: Any, key: str, path: Path) -> Map:
    values = np.asarray(stored[key])
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"{path} holds something else than a map under {key}.",
            expected="finite numbers [H, W]",
            fix=_FIX,
        )
    name = f"{key}/segments"
    segments = np.asarray(stored[name]) if name in stored.files else None
    if segments is not None and (
        segments.shape != values.shape or segments.dtype.kind not in "iu" or segments.min() < 0
    ):
        raise InputError(
            f"{path} holds something else than superpixels under {name}.",
            expected=f"whole numbers from 0, {values.shape}",
            fix=_FIX,
        )
    return Map(
        values.astype(np.float32, copy=False),
        None if segments is None else segments.astype(np.int32, copy=False),
    )
