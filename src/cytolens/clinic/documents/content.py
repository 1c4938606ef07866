"""What a report says, as plain data: the doctor signs the hash of exactly this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.core.config import from_dict, to_dict
from cytolens.core.files import sha256_json

NOT_A_DIAGNOSIS = (
    "The system's finding is not a diagnosis. The diagnosis is the doctor's, who has seen the "
    "images."
)
FORMAT = 1


@dataclass(frozen=True)
class Laboratory:
    """The site."""

    code: str
    name: str


@dataclass(frozen=True)
class Person:
    """The patient; `birth_date` is an ISO date or "", `sex` a word of FHIR."""

    number: str
    family_name: str
    given_name: str = ""
    birth_date: str = ""
    sex: str = "unknown"


@dataclass(frozen=True)
class Word:
    """A word of the vocabulary: its code, and its English name."""

    code: str
    name: str


@dataclass(frozen=True)
class Sample:
    """The specimen.

    Attributes:
        kind: its type.
        tissue: of the vocabulary.
        collected_on: ISO date or "".
        received_at: ISO time, with the offset of the laboratory, as all of the content's but one.
        opened_at: ISO time, UTC. A case is opened once, so that this with the laboratory and the
            accession number names it for good, whatever time zone is chosen later.
        clinical: history and question.
    """

    kind: Word
    tissue: str
    accession: str
    received_at: str
    opened_at: str
    collected_on: str = ""
    clinical: str = ""


@dataclass(frozen=True)
class Quality:
    """Whether the specimen can be read, and what stands in the way."""

    adequacy: Word | None = None
    indicators: tuple[Word, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found; fields as of `tables.Reading`."""

    reading: int
    category: Word
    verdict: str
    blind: bool
    entered_at: str
    comment: str = ""
    decision: str = ""  # of the system, as it stood at the reading


@dataclass(frozen=True)
class Score:
    """A score of a bundle with its interval, where the card has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Model:
    """A bundle whose findings are quoted, and what its card says of its limits.

    Attributes:
        bundle: its id, of the content of `bundle.json`.
        weights: SHA-256 of the model's file; "": the card names none.
        classes, abnormal: as the card names them.
        calibrated: whether its probabilities are corrected.
        level: of its sets of classes; None: it makes none.
        data, protocol: name of the training data, and of the protocol; "" where unknown.
        images: that the scores are of; None: the card has no scores.
        groups: how many independent groups those are; unit: of what.
        level_scores: of the scores' intervals.
        leaks: why the scores are too good, sentences.
        notes: on what the card lacks.
    """

    bundle: str
    name: str
    version: str
    weights: str = ""
    classes: tuple[str, ...] = ()
    abnormal: tuple[str, ...] = ()
    calibrated: bool = False
    level: float | None = None
    data: str = ""
    protocol: str = ""
    images: int | None = None
    groups: int | None = None
    unit: str = ""
    level_scores: float | None = None
    scores: tuple[Score, ...] = ()
    leaks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explained:
    """An explanation that is shown.

    Attributes:
        sha256: of its transparent PNG among the blobs, which covers the whole image.
        target: the class that is explained.
    """

    sha256: str
    method: str
    target: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """An image that is shown, with the system's finding of it.

    Attributes:
        image: its id; sha256: of its PNG among the blobs; name: of the file that came.
        bundle: id of the bundle of the finding.
        probability: of `label`.
        inside: the set of classes.
        overlay: an explanation of it; None: there is none.
    """

    image: int
    sha256: str
    name: str
    width: int
    height: int
    bundle: str
    risk: float
    label: str = ""
    probability: float | None = None
    inside: tuple[str, ...] = ()
    level: float | None = None
    decision: str = ""
    reasons: tuple[str, ...] = ()
    problem: str = ""
    overlay: Explained | None = None


@dataclass(frozen=True)
class System:
    """The system's finding of the whole case: never a diagnosis.

    Attributes:
        decision: "refer", "abnormal", "clear", or "" where there is none.
        risk: the largest of the images'.
        images: all of the case; `clear`, `abnormal`, `refer`: by the system's decision;
            `undecided`: with a finding that decides nothing; `pending`: without a finding.
    """

    images: int
    decision: str = ""
    risk: float | None = None
    clear: int = 0
    abnormal: int = 0
    refer: int = 0
    undecided: int = 0
    pending: int = 0


@dataclass(frozen=True)
class Doctor:
    """Who signed, or whose reading it is; `signed_at`: ISO time, "" while it is preliminary."""

    username: str
    name: str
    signed_at: str = ""


@dataclass(frozen=True)
class Change:
    """What is different from the version before: a field, and its words then and now."""

    field: str
    before: str
    after: str


@dataclass(frozen=True)
class ReportContent:
    """One version of a report.

    Attributes:
        status: "preliminary", "final", "amended".
        created_at: ISO time.
        language: of the document, "en" or "es"; region: whose way of writing numbers it takes.
        reason: why it was amended.
        before: `sha256` of the version before; "": it is the first.
        format: of this content.
    """

    laboratory: Laboratory
    patient: Person
    specimen: Sample
    quality: Quality
    diagnosis: Diagnosis
    system: System
    doctor: Doctor
    status: str
    version: int
    created_at: str
    language: str = "en"
    pictures: tuple[Picture, ...] = ()
    models: tuple[Model, ...] = ()
    reason: str = ""
    before: str = ""
    changes: tuple[Change, ...] = ()
    disclaimer: str = NOT_A_DIAGNOSIS
    format: int = FORMAT
    region: str = ""

    @property
    def signed(self) -> bool:
        return self.status != "preliminary"

    @property
    def sha256(self) -> str:
        """What the doctor signs: the hash of the content as canonical JSON."""
        return sha256_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return to_dict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ReportContent:
        """Build it from plain data.

        Raises:
            InputError: unknown or missing keys, values of a wrong type.
        """
        return from_dict(cls, content, "the report")
