"""The audit log: search, verify, export."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from cytolens.clinic import days
from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import audit
from cytolens.clinic.rights import Action
from cytolens.clinic.web.guard import Clinic, May
from cytolens.clinic.web.optional import day
from cytolens.clinic.web.render import page

router = APIRouter()
Reader = Annotated[Actor, Depends(May(Action.READ_AUDIT))]


class Asked:
    """The filters of an address: what they say, and themselves to be shown again."""

    def __init__(
        self,
        clinic: Clinic,
        since: Annotated[str, Query()] = "",
        until: Annotated[str, Query()] = "",
        user: Annotated[str, Query(max_length=120)] = "",
        action: Annotated[str, Query(max_length=60)] = "",
        kind: Annotated[str, Query(max_length=40)] = "",
        key: Annotated[str, Query(max_length=64)] = "",
    ) -> None:
        self.words = {
            "since": since, "until": until, "user": user, "action": action, "kind": kind,
            "key": key,
        }  # fmt: skip
        zone, first, last = clinic.settings.zone, day(since, "From"), day(until, "To")
        self.filters = audit.Filters(
            None if first is None else days.start(first, zone),
            None if last is None else days.end(last, zone),
            user, action, kind, key,
        )  # fmt: skip

    @property
    def address(self) -> str:
        """The filters as a query."""
        return urlencode({name: word for name, word in self.words.items() if word})


@router.get("/audit")
def show_audit(
    request: Request,
    actor: Reader,
    clinic: Clinic,
    asked: Annotated[Asked, Depends()],
    page_number: Annotated[int, Query(alias="page", ge=1, le=10_000_000)] = 1,
) -> Response:
    """Search the log."""
    return _page(request, actor, clinic, asked, page_number, None)


@router.post("/audit/verify")
def verify_audit(
    request: Request, actor: Reader, clinic: Clinic, asked: Annotated[Asked, Depends()]
) -> Response:
    """Go through the whole log and say whether it is what was written."""
    return _page(request, actor, clinic, asked, 1, audit.verify(clinic, actor))


@router.get("/audit/export.csv")
def export_audit_csv(actor: Reader, clinic: Clinic, asked: Annotated[Asked, Depends()]) -> Response:
    """Export what is asked for as CSV with the hashes."""
    return _file(audit.export(clinic, actor, asked.filters, "csv"), "text/csv", "audit.csv")


@router.get("/audit/export.jsonl")
def export_audit_jsonl(
    actor: Reader, clinic: Clinic, asked: Annotated[Asked, Depends()]
) -> Response:
    """Export what is asked for as JSON lines with the hashes."""
    lines = audit.export(clinic, actor, asked.filters, "jsonl")
    return _file(lines, "application/jsonl", "audit.jsonl")


def _page(
    request: Request,
    actor: Actor,
    clinic: Installation,
    asked: Asked,
    number: int,
    verified: audit.Verified | None,
) -> Response:
    with clinic.reading() as db:
        found = audit.search(db, actor, asked.filters, number)
        actions = audit.actions(db, actor)
    return page(
        request,
        "management/audit.html.j2",
        found=found,
        asked=asked,
        actions=actions,
        verified=verified,
    )


def _file(lines: object, media: str, name: str) -> Response:
    return StreamingResponse(
        lines,  # type: ignore[arg-type]
        media_type=media,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
