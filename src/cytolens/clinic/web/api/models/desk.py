"""Patients and cases: what is asked and what is answered."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AliasPath, Field, StringConstraints

from cytolens.clinic.web.api.models.images import Image
from cytolens.clinic.web.api.models.readings import Reading
from cytolens.clinic.web.api.models.shared import (
    DECISION,
    HIDDEN,
    RISK,
    Answer,
    Asked,
    Day,
    Key,
    Line,
    Moment,
    Prose,
    Revision,
    Specimen,
    Word,
)


class Patient(Answer):
    """A patient in a list."""

    id: int
    number: str = Field(description="The laboratory's own.")
    family_name: str
    given_name: str
    birth_date: date | None
    sex: str = Field(description="female, male, other or unknown.")


class PatientRow(Patient):
    """A patient in a list."""

    site: str = Field(description="Code of the laboratory.")
    cases: int = Field(description="How many specimens there are.")


class Patients(Answer):
    """A page of patients, by name."""

    rows: list[PatientRow]
    page: int
    pages: int
    count: int = Field(description="On all pages.")


class CaseOfPatient(Answer):
    """A case of a patient, without what the system found."""

    id: int
    accession: str
    specimen: str
    status: str
    received_at: datetime
    signed_at: datetime | None
    images: int


class PatientWithCases(Patient):
    """A patient with the patient's cases, the latest first."""

    site_id: int
    revision: int = Field(description="Grows with every correction; they are made on the newest.")
    cases: list[CaseOfPatient]


class WorklistRow(Answer):
    """A case in the worklist."""

    id: int
    accession: str
    site: str = Field(description="Code of the laboratory.")
    specimen: str
    status: str = Field(description="open, preliminary, final or amended.")
    blind: bool
    received_at: datetime
    signed_at: datetime | None
    images: int
    pending: int = Field(description="Images that wait for a finding.")
    assigned: str = Field(description='Name of a doctor, or "".')
    patient_id: int
    number: str
    family_name: str
    given_name: str
    birth_date: date | None
    hidden: bool = Field(description=HIDDEN)
    risk: float | None = Field(description=RISK)
    decision: str | None = Field(description=DECISION)


class Worklist(Answer):
    """A page of the worklist, the most urgent first."""

    rows: list[WorklistRow]
    page: int
    pages: int
    count: int = Field(description="On all pages.")


class Case(Answer):
    """A case as this account may see it."""

    id: int
    revision: int = Field(description="Grows with every change; changes are made on the newest.")
    accession: str
    site_id: int
    site: str
    specimen: str = Field(validation_alias=AliasPath("words", "code"))
    status: str = Field(description="open, preliminary, final or amended.")
    blind: bool = Field(description="To be read before the findings are seen.")
    hidden: bool = Field(description=HIDDEN)
    blind_is_open: bool = Field(description="`blind` can still be changed.")
    collected_on: date | None
    received_at: datetime
    signed_at: datetime | None
    clinical: str
    adequacy: str
    indicators: list[str]
    quality_note: str
    assigned_id: int | None
    assigned: str
    pending: int = Field(description="Images that wait for a finding.")
    failed: int = Field(description="Images that could not be analysed.")
    risk: float | None = Field(description=RISK)
    decision: str | None = Field(description=DECISION)
    patient: Patient
    images: list[Image] = Field(description="By risk; by name where findings are hidden.")
    readings: list[Reading]


class CaseMark(Answer):
    """A case after a change: what the next change is made on."""

    id: int
    revision: int
    accession: str
    status: str


class Doctor(Answer):
    """A doctor to whom a case can be assigned."""

    id: int
    name: str


class Identity(Asked):
    """What is known of a patient."""

    number: Line = Field(description="The laboratory's own.")
    family_name: Line
    given_name: Line = ""
    birth_date: Day | None = None
    sex: Literal["female", "male", "other", "unknown"] = "unknown"


class Correction(Identity):
    """A patient corrected, as a whole."""

    revision: Revision = Field(description="Of the patient as it was looked at.")


class NewPatient(Identity):
    """A patient to be entered."""

    site: Key = Field(description="Id of one of the account's laboratories, see `/me`.")


class Details(Asked):
    """What the laboratory says of a specimen."""

    collected_on: Day | None = None
    clinical: Prose = Field("", description="History, and the question asked.")
    adequacy: Word = Field("", description='Code of the vocabulary; "": not judged yet.')
    indicators: list[Word] = Field(
        default_factory=list, max_length=50, description="Codes of the vocabulary."
    )
    quality_note: Annotated[Prose, StringConstraints(max_length=2000)] = ""
    blind: bool = Field(False, description="To be read before the findings are seen.")


class NewCase(Details):
    """A case to be opened."""

    patient: Key
    specimen: Specimen = Field(description="Code of a specimen type, see `/specimens`.")
    accession: Line = Field("", description='The laboratory\'s number; "": the next one.')
    received_at: Moment | None = Field(None, description="null: now.")
    assigned: Key | None = Field(None, description="Id of a doctor; null: nobody.")


class ChangedDetails(Details):
    """A specimen described anew, as a whole."""

    revision: Revision = Field(description="Of the case as it was looked at.")


class Assignment(Asked):
    """To whom a case is handed."""

    doctor: Key | None = Field(description="null: to nobody.")
    revision: Revision = Field(description="Of the case as it was looked at.")
