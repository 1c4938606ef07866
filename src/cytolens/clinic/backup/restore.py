"""Restore a backup into an empty place: all of it, checked, or nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import migrations, trail
from cytolens.clinic.accounts import access
from cytolens.clinic.actor import system
from cytolens.clinic.backup.container import MANIFEST, SECRET, Reader, open_backup
from cytolens.clinic.backup.make import FORMAT, seal
from cytolens.clinic.backup.rows import go_on_counting, put
from cytolens.clinic.blobs import Blobs
from cytolens.clinic.database import Database
from cytolens.clinic.installation import (
    Installation,
    open_blobs,
    open_installation,
    private_files,
)
from cytolens.clinic.management.retention import referred_blobs
from cytolens.clinic.secret import VARIABLE, open_secret
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Table, User
from cytolens.core.errors import InputError
from cytolens.core.files import atomic_path, writing
from cytolens.core.progress import Progress

_BROKEN = "do not use this backup; take another one."
_PIECE = 1 << 20


@dataclass(frozen=True)
class Account:
    """An account that is open after a restore, even where it was disabled since the backup."""

    username: str
    name: str
    role: str
    waits: bool  # no password was chosen; its link ended


@dataclass(frozen=True)
class Restored:
    """What was restored.

    Attributes:
        ended: what let accounts in when the backup was made, and no longer does.
        accounts: those that are open.
        problems: what the installation lacked already when it was backed up.
    """

    rows: int
    blobs: int
    lines: int
    made_at: str
    ended: access.Ended
    accounts: list[Account]
    problems: list[str]


def restore(source: Path, settings: Settings, *, progress: Progress) -> Restored:
    """Restore a backup; what failed half-way is removed again.

    Sessions, machines' tokens and links that worked when it was made may have been ended since,
    so all end; what is known of accounts (open or not, passwords, second factors) is as it was.

    Args:
        source: a backup, a file or a folder.
        settings: of the new place; its database may be another kind than the old one's.

    Raises:
        InputError: the place is not empty; no backup, another format or version, a hash or the
            seal that does not fit, an audit log that is broken, a secret that is missing or wrong.
    """
    _refuse_full_folder(settings.data)
    had_secret = (settings.data / SECRET).exists()
    with open_backup(source) as backup:
        manifest = _manifest(backup)
        database = Database(settings.database)
        try:
            _refuse_full_database(database)
        finally:
            database.close()
        _check_files(backup, manifest, progress)
        try:
            with private_files():
                return _restored(backup, manifest, settings, progress)
        except BaseException:
            _clear(settings.data, keep_secret=had_secret)
            raise


def _restored(
    backup: Reader, manifest: dict[str, Any], settings: Settings, progress: Progress
) -> Restored:
    _put_secret(backup, manifest, settings)
    for name in manifest["files"]:
        if name.startswith("bundles/"):
            path = settings.data / name
            with backup.opened(name) as source, atomic_path(path) as temporary:
                with temporary.open("wb") as target:
                    shutil.copyfileobj(source, target)
    count = _put_blobs(backup, open_blobs(settings), progress)
    database = Database(settings.database)
    try:
        migrations.upgrade(database)
    finally:
        database.close()
    installation = open_installation(settings)
    try:
        lines, ended = _put_rows(backup, manifest, installation, count, progress)
        with installation.reading() as db:
            accounts = _open_accounts(db)
    finally:
        installation.close()
    problems = [f"audit log: {manifest['audit']['flaw']}"] if manifest["audit"]["flaw"] else []
    problems += [f"blob {name} is missing" for name in manifest["missing_blobs"]]
    rows = sum(manifest["rows"].values())
    return Restored(rows, count, lines, manifest["made_at"], ended, accounts, problems)


def _manifest(backup: Reader) -> dict[str, Any]:
    if MANIFEST not in backup.names():
        raise InputError("There is no manifest in the backup.", fix=_BROKEN)
    try:
        manifest = json.loads(backup.read(MANIFEST))
    except ValueError as error:
        raise InputError("The manifest of the backup cannot be read.", fix=_BROKEN) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("The backup has another format.", expected=f"format {FORMAT}")
    if manifest["schema"] != migrations.latest():
        raise InputError(
            f"The backup was made by cytolens {manifest['cytolens']}, whose database has the "
            f"version {manifest['schema']}; this one has {migrations.latest()}.",
            fix="restore it with that version, then run cytolens clinic upgrade with this one.",
        )
    return manifest


def _check_files(backup: Reader, manifest: dict[str, Any], progress: Progress) -> None:
    """Check that every file is the one the manifest names, and that there is no other."""
    names = set(backup.names())
    blobs = {name for name in names if name.startswith("blobs/")}
    named = set(manifest["files"]) | {MANIFEST}
    if odd := sorted(names - blobs - named):
        raise InputError(f"The backup holds {odd[0]}, which its manifest does not.", fix=_BROKEN)
    if lacking := sorted(named - names):
        raise InputError(f"The backup lacks {lacking[0]}.", fix=_BROKEN)
    if len(blobs) != manifest["blobs"]:
        raise InputError(
            f"The backup holds {len(blobs)} blobs; its manifest says {manifest['blobs']}.",
            fix=_BROKEN,
        )
    wanted = {name: facts["sha256"] for name, facts in manifest["files"].items()}
    wanted |= {name: name.removeprefix("blobs/") for name in blobs}
    with progress.task("checking", len(wanted)) as done:
        for name, sha256 in sorted(wanted.items()):
            with backup.opened(name) as source:
                digest = hashlib.sha256()
                while piece := source.read(_PIECE):
                    digest.update(piece)
            if digest.hexdigest() != sha256:
                raise InputError(f"{name} of the backup was changed, or is damaged.", fix=_BROKEN)
            done()


def _put_secret(backup: Reader, manifest: dict[str, Any], settings: Settings) -> None:
    """Bring the secret to its place, and check the seal with it."""
    path = settings.data / SECRET
    given = bool(os.environ.get(VARIABLE)) or path.exists()
    if SECRET not in manifest["files"] and not given:
        raise InputError(
            "The secret of the installation is not in the backup.",
            fix=f"put its secret.key at {path}, or its value into {VARIABLE}.",
        )
    if not given:
        with writing(path, "the secret"):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as target:
                target.write(backup.read(SECRET))
    expected = seal(manifest, open_secret(settings.data))
    if not hmac.compare_digest(expected, str(manifest.get("seal", ""))):
        raise InputError(
            "The seal of the backup does not fit the secret: one of them is of another "
            "installation, or the backup was changed.",
            fix="check the secret; otherwise do not use this backup.",
        )


def _put_blobs(backup: Reader, blobs: Blobs, progress: Progress) -> int:
    names = [name for name in backup.names() if name.startswith("blobs/")]
    with progress.task("blobs", len(names)) as done:
        for name in names:
            blobs.put(backup.read(name))
            done()
    return len(names)


def _put_rows(
    backup: Reader,
    manifest: dict[str, Any],
    installation: Installation,
    blobs: int,
    progress: Progress,
) -> tuple[int, access.Ended]:
    """Put in all rows, check them and end what let accounts in, in one transaction.

    Returns:
        The lines of the audit log, and what was ended.
    """
    tables = Table.metadata.sorted_tables
    with installation.writing() as db:
        connection = db.connection()
        with progress.task("tables", len(tables)) as done:
            for table in tables:
                content = backup.read(f"tables/{table.name}.jsonl").decode("utf-8")
                given = (line for line in content.split("\n") if line)
                if put(connection, table, given) != manifest["rows"][table.name]:
                    raise InputError(f"The table {table.name} is not complete.", fix=_BROKEN)
                go_on_counting(connection, table)
                done()
        lines = _check_log(db, manifest)
        _check_references(db, backup, manifest)
        ended = access.end_everybodys(db)
        trail.record(
            db, system("restore"), "installation.restored", "backup", manifest["made_at"],
            rows=sum(manifest["rows"].values()), blobs=blobs, lines=lines,
            sessions_ended=ended.sessions, tokens_revoked=ended.tokens, links_ended=ended.links,
        )  # fmt: skip
    return lines, ended


def _open_accounts(db: Session) -> list[Account]:
    found = db.scalars(select(User).where(User.active).order_by(User.role, User.username))
    return [Account(u.username, u.name, u.role, u.password_hash is None) for u in found]


def _check_log(db: Session, manifest: dict[str, Any]) -> int:
    told = manifest["audit"]
    lines, flaw = trail.verify(db, None)
    found = "" if flaw is None else flaw.what
    if found != told["flaw"] or lines != told["lines"]:
        raise InputError(
            "The audit log of the backup is not what was written.",
            rows=[found] if found else [f"{lines} lines, {told['lines']} expected"],
            fix=_BROKEN,
        )
    return lines


def _check_references(db: Session, backup: Reader, manifest: dict[str, Any]) -> None:
    there = {name.removeprefix("blobs/") for name in backup.names()}
    lacking = set(referred_blobs(db, removed=False)) - there - set(manifest["missing_blobs"])
    if lacking:
        raise InputError(
            "Images or documents are not in the backup.", rows=sorted(lacking), fix=_BROKEN
        )


def _refuse_full_folder(folder: Path) -> None:
    if not folder.exists():
        return
    if odd := sorted(p.name for p in folder.iterdir() if p.name != SECRET):
        raise InputError(
            f"{folder} is not empty: it holds {odd[0]}.", fix="choose a folder that is new."
        )


def _refuse_full_database(database: Database) -> None:
    file = database.engine.url.database
    if database.is_sqlite and not (file and Path(file).exists()):
        return
    state = migrations.state(database)
    if state is migrations.State.EMPTY:
        return
    if state is migrations.State.CURRENT:
        with database.engine.connect() as connection:
            full = [
                table.name
                for table in Table.metadata.sorted_tables
                if connection.execute(select(table).limit(1)).first() is not None
            ]
        if not full:
            return
    raise InputError("The database is not empty.", fix="choose one that is new.")


def _clear(folder: Path, *, keep_secret: bool) -> None:
    """Remove what a failed restore wrote; the folder held nothing but the secret before."""
    if not keep_secret:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != SECRET:
            path.unlink(missing_ok=True)
