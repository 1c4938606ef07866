"""How the installation stands: workers, queue, storage. Counts alone."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import func, select

from cytolens.clinic import clock, migrations
from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.intake import landlock
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Entry, Finding, Image, Job, Model, SignIn, User


@dataclass(frozen=True)
class Worker:
    """A process that holds jobs now."""

    name: str
    jobs: int
    leased_until: datetime | None


@dataclass(frozen=True)
class SystemState:
    """How the installation stands.

    Attributes:
        queue: number of jobs by kind and state.
        oldest: when the longest waiting job was made.
        problems: why jobs failed, the most frequent first, and how often.
        unread: specimen types with waiting jobs and no active bundle.
        counts: rows of what there is, by name.
        free: bytes free where the data lies; None: it lies elsewhere.
        landlock: version of what confines the decoder of uploads beyond its limits; 0: this kernel
            offers none.
    """

    version: str
    schema: str
    database: str
    blobs: str
    queue: dict[tuple[str, str], int]
    oldest: datetime | None
    workers: list[Worker]
    problems: list[tuple[str, int]]
    unread: list[str]
    counts: dict[str, int]
    signed_in: int
    free: int | None
    landlock: int
    load: float


def system_state(installation: Installation, actor: Actor) -> SystemState:
    """Return how the installation stands."""
    actor.must(Action.READ_SYSTEM)
    with installation.reading() as db:
        queue = {
            (kind, state): count
            for kind, state, count in db.execute(
                select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
            )
        }
        oldest = db.scalar(select(func.min(Job.created_at)).where(Job.state == "waiting"))
        workers = [
            Worker(name, count, until)
            for name, count, until in db.execute(
                select(Job.worker, func.count(), func.max(Job.leased_until))
                .where(Job.state == "running")
                .group_by(Job.worker)
                .order_by(Job.worker)
            )
        ]
        failed = func.count().label("failed")
        problems = [
            (problem, count)
            for problem, count in db.execute(
                select(Job.problem, failed)
                .where(Job.state == "failed")
                .group_by(Job.problem)
                .order_by(failed.desc())
                .limit(10)
            )
        ]
        active = select(Model.specimen).where(Model.status == "active")
        unread = db.scalars(
            select(Job.specimen)
            .distinct()
            .where(Job.state == "waiting", Job.specimen.not_in(active))
            .order_by(Job.specimen)
        ).all()
        kinds = {
            "accounts": User, "bundles": Model, "cases": Case, "images": Image,
            "findings": Finding, "audit lines": Entry,
        }  # fmt: skip
        counts = {
            name: db.scalar(select(func.count()).select_from(table)) or 0
            for name, table in kinds.items()
        }
        signed_in = db.scalar(select(func.count()).where(SignIn.expires_at > clock.now())) or 0
    return SystemState(
        version=version("cytolens"),
        schema=migrations.latest(),
        database=installation.database.engine.dialect.name,
        blobs=installation.settings.blobs or "folder",
        queue=queue,
        oldest=oldest,
        workers=workers,
        problems=problems,
        unread=list(unread),
        counts=counts,
        signed_in=signed_in,
        free=_free(installation.settings.data),
        landlock=landlock.offered(),
        load=os.getloadavg()[0],
    )


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
