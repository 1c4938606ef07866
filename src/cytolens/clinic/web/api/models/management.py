"""Accounts, laboratories, bundles, the audit log, retention, system: asked and answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from cytolens.clinic.management.retention import MOST_MONTHS
from cytolens.clinic.web.api.models.shared import Answer, Asked, Key, Line


class Site(Answer):
    """A laboratory."""

    id: int
    code: str = Field(description="Stands in accession numbers.")
    name: str


class Me(Answer):
    """The account that asks."""

    id: int
    username: str
    name: str
    role: str
    language: str
    sites: list[Site]
    actions: list[str] = Field(description="What may be done with this token, or this session.")


class Token(Answer):
    """A token of this account that works; what it is was shown once."""

    id: int
    name: str
    actions: list[str] = Field(description="What it may do; empty: all of the role.")
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class Term(Answer):
    """A word of a vocabulary."""

    code: str
    name: str


class Category(Term):
    """A category of diagnosis."""

    severity: int = Field(description="0: clear; higher is worse; -1: it says nothing.")


class Specimen(Answer):
    """A specimen type with its words."""

    code: str
    name: str
    tissue: str
    categories: list[Category]
    adequacy: list[Term]
    indicators: list[Term]


class User(Answer):
    """An account."""

    id: int
    username: str
    name: str
    role: str
    sites: list[int]
    active: bool
    waits: bool = Field(description="No password was chosen yet.")
    locked: bool = Field(description="For a while, in browsers that are new to the account.")
    second_factor: bool
    seen_at: datetime | None


class Users(Answer):
    """A page of accounts, the active ones first."""

    users: list[User]
    total: int
    page: int
    pages: int


class Placed(Asked):
    """Name, role and laboratories of an account."""

    name: Line
    role: Literal["administrator", "doctor", "director"]
    sites: list[Key] = Field(default_factory=list, max_length=1000)


class NewUser(Placed):
    """An account to be made."""

    username: Line
    language: Literal["en", "es"] = "en"


class Link(Answer):
    """A link that works once, for a password; it is shown this once."""

    user_id: int
    link: str
    hours: int = Field(description="How long it works.")


class SiteWithUsers(Site):
    """A laboratory as the administrator sees it."""

    active: bool
    created_at: datetime
    users: int = Field(description="Active accounts that belong to it.")


class SiteName(Asked):
    """A laboratory's name."""

    name: Line


class NewSite(SiteName):
    """A laboratory to be opened."""

    code: Line = Field(description="1 to 16 letters A–Z, digits or -; never changes.")


class InstalledBundle(Answer):
    """A bundle that was uploaded."""

    id: int
    bundle: str = Field(description="12 hex digits.")
    name: str
    version: str
    specimen: str
    status: str = Field(description="uploaded, active or retired; one is active a specimen type.")
    classes: list[str]
    uploaded_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None
    findings: int = Field(description="How many it made.")
    notes: list[str] = Field(description="What it cannot do.")


class BundleWithCard(InstalledBundle):
    """A bundle with what is known of it."""

    card: dict[str, Any] = Field(description="The content of its `bundle.json`.")


class NewBundle(InstalledBundle):
    """A bundle that was installed; it reads nothing before it is activated."""

    left: list[str] = Field(description="Files of the archive that it does not name.")


class Entry(Answer):
    """A line of the audit log."""

    id: int
    at: datetime
    user_id: int | None
    username: str
    role: str
    action: str
    kind: str
    key: str
    site_id: int | None
    bundle: str
    address: str
    details: dict[str, Any]
    previous: str = Field(description="The hash of the line before.")
    hash: str


class Entries(Answer):
    """A page of lines, the newest first."""

    entries: list[Entry]
    total: int
    page: int
    pages: int


class Flaw(Answer):
    """Where the log is not what was written."""

    line: int
    what: str


class Verified(Answer):
    """What going through the whole log found."""

    lines: int
    flaw: Flaw | None


class Retention(Answer):
    """How long images of signed cases are kept, and what would be removed now."""

    months: int | None = Field(description="null: for good.")
    before: datetime | None = Field(description="Cases signed before this are due.")
    cases: int
    images: int
    waiting: int = Field(description="Old enough, but waiting for a quality reading.")
    removed: int = Field(description="Images removed so far.")


class RetentionChoice(Asked):
    """How long images of signed cases are kept."""

    months: int | None = Field(ge=1, le=MOST_MONTHS, description="null: for good.")


class Sure(Asked):
    """That images may be removed for good."""

    sure: Literal[True]


class Removed(Answer):
    """What was removed."""

    cases: int
    images: int
    blobs: int


class Worker(Answer):
    """A process that holds jobs now."""

    name: str
    jobs: int
    leased_until: datetime | None


class Jobs(Answer):
    """How many jobs of a kind are in a state."""

    kind: str
    state: str
    count: int


class Failure(Answer):
    """Why jobs failed, and how often."""

    problem: str
    count: int


class System(Answer):
    """How the installation stands: counts alone."""

    version: str
    schema_version: str = Field(validation_alias="schema", description="Of the database.")
    database: str
    blobs: str
    queue: list[Jobs]
    oldest: datetime | None = Field(description="When the longest waiting job was made.")
    workers: list[Worker]
    problems: list[Failure]
    unread: list[str] = Field(description="Specimen types that wait for an active bundle.")
    counts: dict[str, int]
    signed_in: int
    free: int | None = Field(description="Bytes free where the data lies.")
    landlock: int = Field(description="Version that confines the decoder of uploads; 0: none.")
    load: float = Field(description="Processes that want to run, over the last minute.")
