"""An installation of the clinic: its settings, database, blobs and secret, opened together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Protocol, TypeVar

from sqlalchemy.orm import Session

from cytolens.clinic import days, migrations, trail
from cytolens.clinic.blobs import Blobs, FolderBlobs
from cytolens.clinic.database import Database
from cytolens.clinic.secret import Secret, open_secret
from cytolens.clinic.settings import Settings
from cytolens.core.errors import InputError


class Part(Protocol):
    """What an installation keeps one of: processes, caches."""

    def close(self) -> None: ...


P = TypeVar("P", bound=Part)


class Installation:
    """What requests and workers share; see `open_installation`."""

    def __init__(
        self, settings: Settings, database: Database, blobs: Blobs, secret: Secret
    ) -> None:
        self.settings = settings
        self.database = database
        self.blobs = blobs
        self.secret = secret
        self._parts: dict[type, Part] = {}
        self._making = Lock()

    def part(self, kind: type[P]) -> P:
        """Return the one `kind()` of this installation: made at its first use, closed with it."""
        with self._making:
            if kind not in self._parts:
                self._parts[kind] = kind()
            made = self._parts[kind]
        assert isinstance(made, kind)
        return made

    @property
    def head(self) -> Path:
        """File of the audit log's last line."""
        return self.settings.data / "audit.head"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session to read from; see `Database.reading`."""
        with self.database.reading() as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that is committed at the end; see `Database.writing`."""
        with self.database.writing() as db:
            yield db
        if head := db.info.get(trail.HEAD):
            trail.keep_head(self.head, head)

    def close(self) -> None:
        """Close the database and the parts."""
        with self._making:
            parts, self._parts = list(self._parts.values()), {}
        for part in parts:
            part.close()
        self.database.close()


def open_installation(settings: Settings) -> Installation:
    """Open an installation whose database is of the present version (`migrations.upgrade`).

    Raises:
        InputError: a secret that is none, a database that cannot be used, or that is empty, older
            or newer, a time zone that is not known.
    """
    secret = open_secret(settings.data)
    known = {trail.KEY: secret.key("audit log"), days.ZONE: settings.zone}
    database = Database(settings.database, info=known)
    try:
        migrations.require_current(database)
    except InputError:
        database.close()
        raise
    return Installation(settings, database, open_blobs(settings), secret)


@contextmanager
def private_files() -> Iterator[None]:
    """Keep what is written meanwhile, by this process and those it starts, from other users.

    Patients' images and names lie in files; who else has an account on the machine reads none,
    whatever rights the folder has that somebody made for them.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def open_blobs(settings: Settings) -> Blobs:
    """Return the store of blobs that the settings name.

    Raises:
        InputError: a store that is not known.
    """
    if not settings.blobs:
        return FolderBlobs(settings.data / "blobs")
    if settings.blobs.startswith("s3://"):
        from cytolens.clinic.blobs_s3 import S3Blobs  # boto3 is not needed otherwise

        return S3Blobs(settings.blobs, settings.data / "blobs.lock")
    if "://" in settings.blobs:
        raise InputError(
            f"{settings.blobs} is no store of blobs.", expected="a folder, or s3://BUCKET/PREFIX"
        )
    return FolderBlobs(Path(settings.blobs))
