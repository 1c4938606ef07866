"""Readings and reports: what is asked and what is answered."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, computed_field

from cytolens.clinic.web.api.models.shared import (
    HIDDEN,
    Answer,
    Asked,
    Prose,
    Revision,
    Secret,
    Word,
)


class Reading(Answer):
    """What a doctor found in a case."""

    id: int
    kind: str = Field(description="primary, or quality: a blind second reading.")
    doctor: str
    category: str = Field(description="Code of the vocabulary of the specimen.")
    category_name: str
    verdict: str = Field(description="Against the system: agree, upgrade, downgrade, inconclusive.")
    blind: bool = Field(description="Entered before the findings were shown.")
    decision: str | None = Field(description="Of the system, as it stood then.")
    comment: str
    created_at: datetime


class Entered(Answer):
    """A reading that was entered."""

    id: int
    kind: str
    category: str
    verdict: str = Field(description="As kept: the one sent, or the rule's.")
    blind: bool
    decision: str | None
    created_at: datetime
    case_id: int
    revision: int = Field(description="Of the case, after the reading.")


class Draw(Answer):
    """A case drawn for a second reading by this account."""

    id: int
    case_id: int
    accession: str
    specimen: str
    images: int
    period: str
    drawn_at: datetime


class Reread(Answer):
    """A quality reading of this account, with what it came to."""

    case_id: int
    accession: str
    specimen: str
    category: str
    verdict: str
    decision: str | None
    read_at: datetime


class Quality(Answer):
    """Drawn cases that wait for this account, and the latest that it read."""

    waiting: list[Draw]
    done: list[Reread]


class Version(Answer):
    """A version of a report; it is never changed."""

    id: int
    version: int
    status: str = Field(description="preliminary, final or amended.")
    signer: str = Field(description='Name of the doctor; "" of a preliminary one.')
    reason: str = Field(description="Why it was amended.")
    created_at: datetime
    sha256: str = Field(description="Of its content, which is what was signed.")

    @computed_field(description="Addresses of the version as pdf, fhir and dicom.")  # type: ignore[prop-decorator]
    @property
    def documents(self) -> dict[str, str]:
        return {form: f"/api/v1/reports/{self.id}/{form}" for form in ("pdf", "fhir", "dicom")}


class Reports(Answer):
    """The versions of a case's report, and what stands in the way of the next one."""

    case_id: int
    revision: int
    hidden: bool = Field(description=HIDDEN)
    obstacle: str = Field(
        description='"", hidden, no-reading, other-reading (another doctor\'s) or no-right.'
    )
    signed: bool = Field(description="There is a signed version: a new one is an amendment.")
    newer: bool = Field(description="The newest reading is in no version yet.")
    images: int
    pending: int
    asks_code: bool = Field(description="Signing takes a code of the second factor.")
    versions: list[Version] = Field(description="The newest first.")


class NewReading(Asked):
    """A reading to be entered."""

    category: Word = Field(description="Code of the vocabulary of the case's specimen.")
    verdict: Word = Field(
        "", description='agree, upgrade, downgrade or inconclusive; "": by the rule.'
    )
    comment: Prose = ""
    revision: Revision = Field(description="Of the case as it was looked at.")
    anyway: bool = Field(False, description="Although images or findings are missing.")
    seen: Word | None = Field(
        None, description='The decision that the doctor saw, "" for none; null: not told.'
    )


class NewQualityReading(Asked):
    """A blind second reading to be entered."""

    category: Word = Field(description="Code of the vocabulary of the case's specimen.")
    comment: Prose = ""
    revision: Revision = Field(description="Of the case as it was looked at.")


class Signature(Asked):
    """What a signature takes, beside the token: the password, as on the page."""

    password: Secret = Field(description="Of the account.")
    code: Secret = Field("", description="Of the second factor, where the account has one.")
    revision: Revision = Field(description="Of the case as it was looked at.")
    anyway: bool = Field(False, description="Although images wait for their findings.")


class Amendment(Signature):
    """A signature under a new version of a signed report."""

    reason: Prose = Field(description="Why the signed report is replaced; it stands in it.")
