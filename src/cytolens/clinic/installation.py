"""An installation of the clinic: its settings, database, blobs and secret, opened together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session

from cytolens.clinic import trail
from cytolens.clinic.blobs import Blobs, FolderBlobs
from cytolens.clinic.database import Database
from cytolens.clinic.secret import Secret, open_secret
from cytolens.clinic.settings import Settings
from cytolens.core.errors import InputError


class Installation:
    """What requests and workers share; see `open_installation`."""

    def __init__(
        self, settings: Settings, database: Database, blobs: Blobs, secret: Secret
    ) -> None:
        self.settings = settings
        self.database = database
        self.blobs = blobs
        self.secret = secret

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
        self.database.close()


def open_installation(settings: Settings) -> Installation:
    """Open an installation whose database is of the present version (`migrations.upgrade`).

    Raises:
        InputError: a secret that is none, a database that cannot be used.
    """
    secret = open_secret(settings.data)
    database = Database(settings.database, info={trail.KEY: secret.key("audit log")})
    return Installation(settings, database, open_blobs(settings), secret)


def open_blobs(settings: Settings) -> Blobs:
    """Return the store of blobs that the settings name.

    Raises:
        InputError: a store that is not known.
    """
    if not settings.blobs:
        return FolderBlobs(settings.data / "blobs")
    if "://" in settings.blobs:
        raise InputError(f"{settings.blobs} is no store of blobs.", expected="a folder")
    return FolderBlobs(Path(settings.blobs))
