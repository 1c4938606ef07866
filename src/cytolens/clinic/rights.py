"""Who may do what: one table, from which authorisation, the docs and the tests are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an account is for; each account has one."""

    ADMINISTRATOR = "administrator"
    DOCTOR = "doctor"
    DIRECTOR = "director"


class Action(StrEnum):
    """What can be done; every route asks for exactly one."""

    OWN_ACCOUNT = "account.own"
    MANAGE_USERS = "users.manage"
    MANAGE_SITES = "sites.manage"
    MANAGE_BUNDLES = "bundles.manage"
    MANAGE_RETENTION = "retention.manage"
    READ_AUDIT = "audit.read"
    READ_SYSTEM = "system.read"
    READ_PATIENTS = "patients.read"
    WRITE_PATIENTS = "patients.write"
    READ_CASES = "cases.read"
    WRITE_CASES = "cases.write"
    UPLOAD_IMAGES = "images.upload"
    READ_FINDINGS = "findings.read"
    WRITE_READINGS = "readings.write"
    SIGN_REPORTS = "reports.sign"
    READ_REPORTS = "reports.read"
    READ_FIGURES = "figures.read"
    DRAW_QUALITY = "quality.draw"
    EXPORT_FIGURES = "figures.export"


@dataclass(frozen=True)
class Right:
    """An action, who may do it, and what it covers.

    Attributes:
        sites: only at sites the account belongs to; what lies elsewhere is not found.
    """

    action: Action
    roles: frozenset[Role]
    what: str
    sites: bool = False


_ALL = frozenset(Role)
_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
_DOCTOR = frozenset({Role.DOCTOR})
_DIRECTOR = frozenset({Role.DIRECTOR})

RIGHTS: dict[Action, Right] = {
    right.action: right
    for right in (
        Right(Action.OWN_ACCOUNT, _ALL, "own password, second factor, language, tokens, sessions"),
        Right(Action.MANAGE_USERS, _ADMINISTRATOR, "invite, disable, reset; roles and sites"),
        Right(Action.MANAGE_SITES, _ADMINISTRATOR, "laboratories: open, rename, close"),
        Right(Action.MANAGE_BUNDLES, _ADMINISTRATOR, "upload, inspect, activate, retire"),
        Right(Action.MANAGE_RETENTION, _ADMINISTRATOR, "how long images and cases are kept"),
        Right(Action.READ_AUDIT, _ADMINISTRATOR, "search, verify and export the audit log"),
        Right(Action.READ_SYSTEM, _ADMINISTRATOR, "workers, queue, storage: counts alone"),
        Right(Action.READ_PATIENTS, _DOCTOR, "search and open patients", sites=True),
        Right(Action.WRITE_PATIENTS, _DOCTOR, "enter and correct patients", sites=True),
        Right(Action.READ_CASES, _DOCTOR, "worklist and cases", sites=True),
        Right(Action.WRITE_CASES, _DOCTOR, "specimens, adequacy, assignment", sites=True),
        Right(Action.UPLOAD_IMAGES, _DOCTOR, "add images to a case", sites=True),
        Right(Action.READ_FINDINGS, _DOCTOR, "findings and explanations of images", sites=True),
        Right(Action.WRITE_READINGS, _DOCTOR, "enter a reading, also for quality", sites=True),
        Right(Action.SIGN_REPORTS, _DOCTOR, "sign and amend reports", sites=True),
        Right(Action.READ_REPORTS, _DOCTOR, "reports in every version and format", sites=True),
        Right(Action.READ_FIGURES, _DIRECTOR, "volumes, turnaround, agreement, drift", sites=True),
        Right(Action.DRAW_QUALITY, _DIRECTOR, "draw signed cases for a second reading", sites=True),
        Right(Action.EXPORT_FIGURES, _DIRECTOR, "figures as CSV and PDF", sites=True),
    )
}


def allowed(role: Role, action: Action) -> bool:
    """Tell whether accounts of a role may do something."""
    return role in RIGHTS[action].roles
