"""Make a backup of an installation that may be running: one moment of its database, and all blobs.

The manifest names every file with its SHA-256 and is sealed with the installation's secret, so
that a backup that was changed is refused even where the changer made all hashes anew. A blob is
named by its hash and needs no other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from cytolens.bundle.card import CARD, read_bundle_card
from cytolens.clinic import clock, migrations, trail
from cytolens.clinic.actor import system
from cytolens.clinic.backup.container import MANIFEST, SECRET, Writer, new_backup
from cytolens.clinic.backup.rows import lines
from cytolens.clinic.blobs import BlobProblem, StoreAway
from cytolens.clinic.installation import Installation
from cytolens.clinic.management.retention import referred_blobs
from cytolens.clinic.secret import Secret
from cytolens.clinic.tables import Entry, Model, Table
from cytolens.core.errors import InputError
from cytolens.core.files import sha256_file
from cytolens.core.progress import Progress, Step

FORMAT = 1


@dataclass(frozen=True)
class Made:
    """What a backup holds, and what the installation lacked when it was made (`problems`)."""

    path: Path
    rows: int
    blobs: int
    bundles: int
    bytes: int
    lines: int
    with_secret: bool
    problems: list[str]


def back_up(
    installation: Installation, target: Path, *, with_secret: bool, progress: Progress
) -> Made:
    """Write a backup.

    Args:
        target: a file `….tar`, or a folder; not there yet.
        with_secret: put the installation's secret in: whoever has the backup can then read second
            factors, and write audit lines that verify. Without it, the secret must be kept
            elsewhere: no backup can be restored without it.

    Raises:
        InputError: the place is taken or cannot be written; the secret is in a variable, not in a
            file, and was asked for.
        StoreAway: the store of blobs cannot be asked; no backup is left.
    """
    secret = _secret_file(installation) if with_secret else None
    files: dict[str, dict[str, Any]] = {}
    with new_backup(target) as writer, _snapshot(installation) as db:
        connection = db.connection()
        last = db.execute(select(Entry.id, Entry.hash).order_by(Entry.id.desc()).limit(1)).first()
        counted, flaw = trail.verify(db, None)
        problems = [] if flaw is None else [f"audit log: {flaw.what}"]
        counts = {}
        tables = Table.metadata.sorted_tables
        with progress.task("tables", len(tables)) as done:
            for table in tables:
                counts[table.name] = _add_table(connection, table, writer, files, target.parent)
                done()
        bundles = _add_bundles(db, installation, writer, files, problems)
        wanted = sorted(set(referred_blobs(db, removed=False)))
        with progress.task("blobs", len(wanted)) as done:
            missing, size = _add_blobs(installation, wanted, writer, done)
        problems += [f"blob {name} is missing, or was changed" for name in missing]
        if secret is not None:
            writer.add(SECRET, secret)
            files[SECRET] = _facts(secret)
        manifest = {
            "format": FORMAT,
            "cytolens": version("cytolens"),
            "schema": migrations.latest(),
            "made_at": clock.now().isoformat(),
            "rows": counts,
            "files": files,
            "blobs": len(wanted) - len(missing),
            "missing_blobs": missing,
            "audit": {
                "lines": counted,
                "last": 0 if last is None else last.id,
                "hash": "" if last is None else last.hash,
                "flaw": "" if flaw is None else flaw.what,
            },
        }
        manifest["seal"] = seal(manifest, installation.secret)
        writer.add(MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    rows = sum(counts.values())
    with installation.writing() as db:
        trail.record(
            db, system("backup"), "installation.backed_up", "backup", target.name[:64],
            rows=rows, blobs=len(wanted) - len(missing), lines=counted,
            with_secret=with_secret, problems=len(problems),
        )  # fmt: skip
    return Made(
        path=target,
        rows=rows,
        blobs=len(wanted) - len(missing),
        bundles=bundles,
        bytes=size + sum(file["bytes"] for file in files.values()),
        lines=counted,
        with_secret=with_secret,
        problems=problems,
    )


def seal(manifest: dict[str, Any], secret: Secret) -> str:
    """Return the HMAC-SHA256 of a manifest without its seal, keyed with the secret."""
    content = {name: value for name, value in manifest.items() if name != "seal"}
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hmac.new(secret.key("backup"), plain.encode(), hashlib.sha256).hexdigest()


@contextmanager
def _snapshot(installation: Installation) -> Iterator[Session]:
    """Yield a session that sees one moment of the database, whatever is written meanwhile."""
    database = installation.database
    options = {} if database.is_sqlite else {"isolation_level": "REPEATABLE READ"}
    with database.engine.connect().execution_options(**options) as connection:
        info = {trail.KEY: installation.secret.key("audit log")}
        with Session(connection, info=info) as db:
            yield db
            db.rollback()


def _add_table(
    connection: Connection, table: Any, writer: Writer, files: dict[str, Any], place: Path
) -> int:
    count, name = 0, f"tables/{table.name}.jsonl"
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=place, prefix=".rows.", newline="\n"
    ) as kept:
        for line in lines(connection, table):
            kept.write(line)
            count += 1
        kept.flush()
        path = Path(kept.name)
        files[name] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        writer.add_file(name, path)
    return count


def _add_bundles(
    db: Session,
    installation: Installation,
    writer: Writer,
    files: dict[str, Any],
    problems: list[str],
) -> int:
    added = 0
    for bundle in db.scalars(select(Model.bundle).order_by(Model.bundle)):
        folder = installation.settings.bundles / bundle
        try:
            paths = [folder / name for name in (CARD, *sorted(read_bundle_card(folder).files))]
            facts = [{"sha256": sha256_file(p), "bytes": p.stat().st_size} for p in paths]
        except (InputError, OSError):
            problems.append(f"bundle {bundle} is missing, or lacks a file")
            continue
        for path, known in zip(paths, facts, strict=True):  # what cannot be written ends the backup
            kept = f"bundles/{bundle}/{path.relative_to(folder).as_posix()}"
            writer.add_file(kept, path)
            files[kept] = known
        added += 1
    return added


def _add_blobs(
    installation: Installation, wanted: list[str], writer: Writer, done: Step
) -> tuple[list[str], int]:
    """Return which blobs could not be had, and the bytes of the others."""
    missing, size = [], 0
    for sha256 in wanted:
        try:
            content = installation.blobs.get(sha256)
            writer.add(f"blobs/{sha256}", content)
            size += len(content)
        except StoreAway:
            raise
        except BlobProblem:
            missing.append(sha256)
        done()
    return missing, size


def _secret_file(installation: Installation) -> bytes:
    path = installation.settings.data / SECRET
    if os.environ.get("CYTOLENS_SECRET") or not path.is_file():
        raise InputError(
            "The secret is not in a file of the installation, but in the variable CYTOLENS_SECRET.",
            fix="leave --with-secret out, and keep the variable's value in a safe place.",
        )
    return path.read_bytes()


def _facts(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
