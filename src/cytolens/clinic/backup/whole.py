"""Whether an installation is whole: the audit log, what guards its rows, blobs and bundles."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from cytolens.bundle.card import check_files, read_bundle_card
from cytolens.clinic import trail
from cytolens.clinic.blobs import BlobProblem
from cytolens.clinic.installation import Installation
from cytolens.clinic.management.retention import referred_blobs
from cytolens.clinic.tables import Model, kept
from cytolens.core.errors import InputError
from cytolens.core.progress import Progress


@dataclass(frozen=True)
class Whole:
    """What an examination found.

    Attributes:
        lines: of the audit log that were read.
        flaw: the first one of the audit log.
        unguarded: a sentence for each trigger that no longer keeps rows from being changed.
        blobs: how many were checked; None: they were not asked for.
        problems: a sentence for each blob or bundle that is missing or was changed.
    """

    lines: int
    flaw: trail.Flaw | None
    unguarded: list[str]
    blobs: int | None
    problems: list[str]

    @property
    def whole(self) -> bool:
        return self.flaw is None and not self.unguarded and not self.problems


def examine(installation: Installation, *, blobs: bool, progress: Progress) -> Whole:
    """Go through the audit log and the triggers; with `blobs` read every blob and bundle too."""
    with installation.reading() as db:
        lines, flaw = trail.verify(db, installation.head)
        unguarded = kept.flaws(db.connection())
        wanted = sorted(set(referred_blobs(db, removed=False))) if blobs else []
        models = list(db.scalars(select(Model.bundle).order_by(Model.bundle))) if blobs else []
    problems = []
    with progress.task("blobs", len(wanted)) as done:
        for sha256 in wanted:
            try:
                installation.blobs.get(sha256)
            except BlobProblem as problem:
                problems.append(str(problem))
            done()
    for bundle in models:
        folder = installation.settings.bundles / bundle
        try:
            check_files(folder, read_bundle_card(folder))
        except InputError as error:
            problems.append(f"bundle {bundle}: {error.what}")
    return Whole(lines, flaw, unguarded, len(wanted) if blobs else None, problems)
