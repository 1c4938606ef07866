"""Uploads: files become pictures of a case, each with a job for its finding.

A picture's blobs are stored first; then one transaction adds the pictures of a batch, their jobs
and the counts of the case. Whatever ends the process in between, a picture is either whole, with a
job that will be done, or was never there; a blob that nothing names does no harm.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.errors import Conflict
from cytolens.clinic.installation import Installation
from cytolens.clinic.intake.decoder import Guards
from cytolens.clinic.intake.sources import Source, sources
from cytolens.clinic.rights import Action
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Case, Image, Job
from cytolens.data.reading import ImageProblem

BATCH = 32  # images of one transaction
_SOON = 0.5  # seconds after which a batch is kept though it is not full
_READERS = 2  # threads: one stores what the other has decoded
_OPEN = ("open", "preliminary")


@dataclass
class Taken:
    """What became of an upload.

    Attributes:
        added: ids of the images that are new, in the order given.
        known: names of files whose picture the case had already.
        refused: names of files that could not be used, and why.
    """

    added: list[int] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Stored:
    """A picture whose blobs are stored."""

    name: str
    sha256: str
    thumbnail: str
    width: int
    height: int


def take(
    clinic: Installation, actor: Actor, case_id: int, files: Iterable[tuple[str, Path]]
) -> Taken:
    """Add files to a case: images, DICOM, and zip archives of both. Opens its own transactions.

    When it returns, nothing of it can be lost; when it raises, the batches that were kept stay,
    and uploading the same files again adds the rest.

    Args:
        files: what each was called by whoever sent it, and where it lies.

    Raises:
        NotFound: no such case at the account's sites.
        Conflict: the case's report is signed.
        InputError: the store of blobs cannot be written.
    """
    check(clinic, actor, case_id)
    taken, batch, since = Taken(), list[_Stored](), 0.0
    limits = clinic.settings
    handed_in = sources(files, file_bytes=limits.file_bytes, total_bytes=limits.request_bytes)
    for stored in _stored(clinic, handed_in):
        if isinstance(stored, tuple):
            taken.refused.append(stored)
            continue
        since = since if batch else time.monotonic()
        batch.append(stored)
        if len(batch) == BATCH or time.monotonic() - since > _SOON:
            _keep(clinic, actor, case_id, batch, taken)
            batch = []
    if batch:
        _keep(clinic, actor, case_id, batch, taken)
    if taken.refused:
        _note_refused(clinic, actor, case_id, len(taken.refused))
    return taken


def check(clinic: Installation, actor: Actor, case_id: int) -> None:
    """Refuse what `take` would refuse before any file is looked at.

    Raises:
        NotAllowed, NotFound, Conflict: as `take`.
    """
    actor.must(Action.UPLOAD_IMAGES)
    with clinic.reading() as db:
        _case(db, actor, case_id)


def _case(db: Session, actor: Actor, case_id: int) -> Case:
    case = cases.find(db, actor, case_id)
    if case.status not in _OPEN:
        raise Conflict(
            "The report of this case is signed; no images can be added to it.",
            fix="open another case for the new images.",
        )
    return case


def _stored(
    clinic: Installation, handed_in: Iterator[Source]
) -> Iterator[_Stored | tuple[str, str]]:
    """Yield each file as it is stored, or its name and why it is not, in order."""
    ahead: deque[Future[_Stored | tuple[str, str]]] = deque()
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            while True:
                while len(ahead) <= _READERS and (source := next(handed_in, None)) is not None:
                    ahead.append(pool.submit(_store, clinic, source))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _store(clinic: Installation, source: Source) -> _Stored | tuple[str, str]:
    try:
        picture = clinic.part(Guards).decode(source.name, source.read())
    except ImageProblem as problem:
        return source.name, problem.reason
    return _Stored(
        source.name,
        clinic.blobs.put(picture.png),
        clinic.blobs.put(picture.thumbnail),
        picture.width,
        picture.height,
    )


def _keep(
    clinic: Installation, actor: Actor, case_id: int, batch: list[_Stored], taken: Taken
) -> None:
    """Add a batch to the case in one transaction."""
    with clinic.writing() as db:
        trail.take_turn(db)
        case = _case(db, actor, case_id)
        there = set(
            db.scalars(
                select(Image.sha256).where(
                    Image.case_id == case_id, Image.sha256.in_([one.sha256 for one in batch])
                )
            )
        )
        new: dict[str, _Stored] = {}
        known = []
        for one in batch:
            if one.sha256 in there or one.sha256 in new:
                known.append(one.name)
            else:
                new[one.sha256] = one
        added = _added(db, actor, case, list(new.values())) if new else []
        if added:
            trail.record(
                db, actor, "images.added", "case", case_id, site=case.site_id, count=len(added)
            )
    taken.added += added
    taken.known += known


def _added(db: Session, actor: Actor, case: Case, new: list[_Stored]) -> list[int]:
    """Add images and their jobs, and return the images' ids in the order given."""
    now = clock.now()
    rows = [
        {
            "case_id": case.id,
            "uploaded_by": actor.user,
            "uploaded_at": now,
            **vars(one),
        }
        for one in new
    ]
    made = db.execute(insert(Image).returning(Image.id, Image.sha256), rows)
    ids = {sha256: image_id for image_id, sha256 in made}
    added = [ids[one.sha256] for one in new]
    db.execute(
        insert(Job),
        [
            {
                "image_id": image_id,
                "specimen": case.specimen,
                "kind": "finding",
                "created_at": now,
            }
            for image_id in added
        ],
    )
    # A doctor who signs what was read before these images came is told: the revision grows.
    db.execute(
        update(Case)
        .where(Case.id == case.id)
        .values(
            images_count=Case.images_count + len(added),
            pending=Case.pending + len(added),
            revision=Case.revision + 1,
        )
        .execution_options(synchronize_session=False)
    )
    return added


def _note_refused(clinic: Installation, actor: Actor, case_id: int, count: int) -> None:
    with clinic.writing() as db:
        case = cases.find(db, actor, case_id)
        trail.record(db, actor, "images.refused", "case", case_id, site=case.site_id, count=count)


def incoming(settings: Settings) -> Path:
    """Make and return a folder for one upload's files; whoever asks for it removes it."""
    folder = settings.data / "incoming" / secrets.token_hex(8)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def sweep_incoming(settings: Settings) -> int:
    """Remove what an earlier server left of uploads it did not finish; return how many."""
    left = list((settings.data / "incoming").glob("*"))
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)
