"""The clinic's tables."""

from cytolens.clinic.tables import kept  # the triggers come with the tables
from cytolens.clinic.tables.base import Moment, Table
from cytolens.clinic.tables.cases import Case, Patient, QualityDraw, Reading, Report
from cytolens.clinic.tables.inference import Finding, Image, Job, Model, Overlay
from cytolens.clinic.tables.people import (
    Device,
    Invitation,
    RecoveryCode,
    SignIn,
    Site,
    Token,
    User,
    user_site,
)
from cytolens.clinic.tables.records import Choice, Entry

__all__ = [
    "Case",
    "Choice",
    "Device",
    "Entry",
    "Finding",
    "Image",
    "Invitation",
    "Job",
    "Model",
    "Moment",
    "Overlay",
    "Patient",
    "QualityDraw",
    "Reading",
    "RecoveryCode",
    "Report",
    "SignIn",
    "Site",
    "Table",
    "Token",
    "User",
    "kept",
    "user_site",
]
