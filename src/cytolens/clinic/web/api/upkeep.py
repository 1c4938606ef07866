"""The audit log, retention, and how the installation stands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Response

from cytolens.clinic.actor import Actor
from cytolens.clinic.management import audit, retention
from cytolens.clinic.management.system import system_state
from cytolens.clinic.rights import Action
from cytolens.clinic.web.api.models.management import (
    Entries,
    Removed,
    Retention,
    RetentionChoice,
    Sure,
    System,
    Verified,
)
from cytolens.clinic.web.api.models.shared import (
    ASKED,
    CHANGES,
    Line,
    Moment,
    PageNumber,
    Word,
    content,
)
from cytolens.clinic.web.api.routing import attachment, group
from cytolens.clinic.web.guard import Clinic, May

router = group("upkeep")
Auditor = Annotated[Actor, Depends(May(Action.READ_AUDIT))]
Keeper = Annotated[Actor, Depends(May(Action.MANAGE_RETENTION))]
Operator = Annotated[Actor, Depends(May(Action.READ_SYSTEM))]


def asked(
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query(description="Not included.")] = None,
    user: Annotated[Line, Query(description="A part of the user name.")] = "",
    action: Annotated[Line, Query(description='As it is written, or its beginning: "case."')] = "",
    kind: Annotated[Word, Query(description='Of the object: "case".')] = "",
    key: Annotated[Word, Query(description="Id of the object.")] = "",
) -> audit.Filters:
    """Return which lines are asked for."""
    return audit.Filters(since, until, user, action, kind, key)


Asked = Annotated[audit.Filters, Depends(asked)]


@router.get("/audit", response_model=Entries, responses=ASKED, summary="Search the audit log")
def search_audit(
    clinic: Clinic, actor: Auditor, filters: Asked, number: PageNumber = 1
) -> audit.EntryPage:
    """Return a page of lines, the newest first; 50 a page."""
    with clinic.reading() as db:
        return audit.search(db, actor, filters, number)


@router.post(
    "/audit/verify", response_model=Verified, responses=ASKED, summary="Verify the audit log"
)
def verify_audit(clinic: Clinic, actor: Auditor) -> audit.Verified:
    """Go through the whole log and say whether it is what was written."""
    return audit.verify(clinic, actor)


@router.get(
    "/audit/export",
    response_class=Response,
    responses=ASKED
    | content("The lines with their hashes.", csv="text/csv", jsonl="application/jsonl"),
    summary="Export the audit log",
)
def export_audit(
    clinic: Clinic, actor: Auditor, filters: Asked, format: Literal["csv", "jsonl"] = "csv"
) -> Response:
    """Return the lines that are asked for, in their order."""
    lines = audit.export(clinic, actor, filters, format)
    media = {"csv": "text/csv", "jsonl": "application/jsonl"}[format]
    return attachment(lines, media, f"audit.{format}")


@router.get(
    "/retention", response_model=Retention, responses=ASKED, summary="How long images are kept"
)
def show_retention(clinic: Clinic, actor: Keeper) -> retention.Due:
    """Return what is chosen, and what would be removed now."""
    with clinic.reading() as db:
        return retention.due(db, actor)


@router.put("/retention", response_model=Retention, responses=CHANGES, summary="Choose how long")
def choose_retention(clinic: Clinic, actor: Keeper, given: RetentionChoice) -> retention.Due:
    """Set after how many months images of signed cases are due; nothing is removed by this."""
    with clinic.writing() as db:
        retention.choose(db, actor, given.months)
    with clinic.reading() as db:
        return retention.due(db, actor)


@router.post(
    "/retention/apply", response_model=Removed, responses=CHANGES, summary="Remove what is due"
)
def apply_retention(clinic: Clinic, actor: Keeper, given: Sure) -> retention.Removed:
    """Remove the images that are due, for good."""
    del given
    return retention.apply(clinic, actor)


@router.get("/system", response_model=System, responses=ASKED, summary="How it stands")
def show_system(clinic: Clinic, actor: Operator) -> dict[str, Any]:
    """Return counts of jobs, workers and storage."""
    state = system_state(clinic, actor)
    queue = [{"kind": k, "state": s, "count": count} for (k, s), count in state.queue.items()]
    problems = [{"problem": problem, "count": count} for problem, count in state.problems]
    return vars(state) | {"queue": queue, "problems": problems}
