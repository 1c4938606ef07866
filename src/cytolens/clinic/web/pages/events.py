"""Progress of a case's findings, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from cytolens.clinic.accounts import sessions
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.errors import NotAllowed, NotFound
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case
from cytolens.clinic.web.guard import Clinic, Id, May, address_of

EVERY = 1.0  # seconds between two looks into the database, whoever watches
JUDGED = 2.0  # seconds between two looks whether who watches may still; it is no use of a session
_BEAT = 15.0  # seconds without a change until a comment keeps the connection
_LONGEST = 600.0  # seconds; then the browser asks anew, and is judged anew

router = APIRouter()

Counts = tuple[int, int]  # images, and those that wait for a finding


class Watch:
    """How far cases are: one query a second for all that are watched."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watched: Counter[int] = Counter()
        self._counts: dict[int, Counts] = {}
        self._looked = 0.0

    @contextmanager
    def watching(self, case_id: int) -> Iterator[None]:
        """Have a case among those that are looked at."""
        with self._lock:
            self._watched[case_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._watched[case_id] -= 1
                if not self._watched[case_id]:
                    del self._watched[case_id]
                    self._counts.pop(case_id, None)

    def counts(self, clinic: Installation, case_id: int) -> Counts:
        """Return a case's counts, at most a second old; blocks while they are looked up."""
        with self._lock:
            fresh = time.monotonic() - self._looked < EVERY
            if not fresh or case_id not in self._counts:
                with clinic.reading() as db:
                    rows = db.execute(
                        select(Case.id, Case.images_count, Case.pending).where(
                            Case.id.in_([*self._watched, case_id])
                        )
                    )
                    self._counts = {row[0]: (row[1], row[2]) for row in rows}
                self._looked = time.monotonic()
            return self._counts.get(case_id, (0, 0))

    def close(self) -> None:
        """Nothing is held open."""


@router.get("/cases/{case_id}/events")
async def events(
    request: Request,
    clinic: Clinic,
    actor: Annotated[Actor, Depends(May(Action.READ_CASES))],
    case_id: Id,
) -> Response:
    """Tell how many images wait until none does; 204 where none does already."""
    if not await run_in_threadpool(_pending, clinic, actor, case_id):
        return Response(status_code=204)  # tells the browser not to ask again
    return StreamingResponse(
        _progress(request, clinic, case_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _progress(request: Request, clinic: Installation, case_id: int) -> AsyncIterator[str]:
    watch = clinic.part(Watch)
    until, said, spoken = time.monotonic() + _LONGEST, None, time.monotonic()
    judged = spoken
    with watch.watching(case_id):
        while time.monotonic() < until and not await request.is_disconnected():
            if time.monotonic() - judged >= JUDGED:
                if not await run_in_threadpool(_may_watch, request, clinic, case_id):
                    return
                judged = time.monotonic()
            images, pending = await run_in_threadpool(watch.counts, clinic, case_id)
            if (images, pending) != said:
                said, spoken = (images, pending), time.monotonic()
                yield _event("progress" if pending else "done", images, pending)
            elif time.monotonic() - spoken > _BEAT:
                spoken = time.monotonic()
                yield ": still here\n\n"
            if not pending:
                return
            await asyncio.sleep(EVERY)


def _event(kind: str, images: int, pending: int) -> str:
    content = {"images": images, "pending": pending, "finished": images - pending}
    return f"event: {kind}\ndata: {json.dumps(content)}\n\n"


def _may_watch(request: Request, clinic: Installation, case_id: int) -> bool:
    """Tell whether the session lives, and its account may still see the case."""
    token = request.cookies.get(sessions.cookie_name(clinic.settings), "")
    with clinic.reading() as db:
        found = sessions.find_session(db, token, clinic.settings, address_of(request))
        if found is None:
            return False
        try:
            cases.find(db, found.actor, case_id)
        except (NotAllowed, NotFound):
            return False
        return True


def _pending(clinic: Installation, actor: Actor, case_id: int) -> int:
    with clinic.reading() as db:
        return cases.find(db, actor, case_id).pending
