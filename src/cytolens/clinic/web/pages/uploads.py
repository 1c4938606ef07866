"""Images are handed in: by a form, or a few files at a time by `upload.js`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.inference.uploads import Taken, check, incoming, take
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.receiving import receive, removed_after
from cytolens.clinic.web.render import page, sentences_of

FIELD = "files"
AT_ONCE = 8  # uploads that are decoded; pages are served by the same 40 threads

router = APIRouter()
_lanes: RunVar[CapacityLimiter] = RunVar("uploads")


@router.post("/cases/{case_id}/upload")
async def upload(
    request: Request,
    clinic: Clinic,
    actor: Annotated[Actor, Depends(May(Action.UPLOAD_IMAGES))],
    case_id: Id,
) -> Response:
    """Add images, DICOM files and zip archives to a case."""
    taken = await take_in(request, clinic, actor, case_id)
    if request.headers.get("Accept", "").startswith("application/json"):
        return JSONResponse(as_json(taken, sentences_of(request).told))
    if taken.refused:
        return page(request, "desk/uploaded.html.j2", case_id=case_id, taken=taken)
    done = "uploaded" if taken.added else "known"
    return RedirectResponse(f"/cases/{case_id}?done={done}", status_code=303)


async def take_in(request: Request, clinic: Installation, actor: Actor, case_id: int) -> Taken:
    """Receive the files of a request and add them to a case; raises as `take`."""
    try:
        await run_in_threadpool(check, clinic, actor, case_id)  # before all of it is sent
        with removed_after(incoming(clinic.settings)) as folder:
            files = await receive(request, folder, FIELD, clinic.settings.request_bytes)
            if not files:
                raise Refused("There are no files in this upload.", fix="choose some images.")
            return await to_thread.run_sync(take, clinic, actor, case_id, files, limiter=_limiter())
    finally:
        await request.close()


def _limiter() -> CapacityLimiter:
    """Return what lets so many uploads pass at once; the others wait, and hold no thread."""
    try:
        return _lanes.get()
    except LookupError:
        made = CapacityLimiter(AT_ONCE)
        _lanes.set(made)
        return made


def as_json(taken: Taken, told: Callable[[str], str]) -> dict[str, Any]:
    """Return {added: [id], known: [name], refused: [{name, why}]}."""
    return {
        "added": taken.added,
        "known": taken.known,
        "refused": [{"name": name, "why": told(why)} for name, why in taken.refused],
    }
