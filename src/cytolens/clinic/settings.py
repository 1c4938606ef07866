"""Where an installation of the clinic lies and how it is served."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, tzinfo
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from cytolens.core.errors import InputError

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """What `cytolens serve` is told.

    Attributes:
        data: folder of everything that is kept: database, blobs, bundles, secret.
        database_url: of SQLAlchemy; "": SQLite in `data`.
        blobs: a folder, or `s3://bucket/prefix`; "": a folder in `data`.
        public_url: as browsers reach it; https makes cookies secure and demands it (HSTS).
        workers: processes that make findings.
        idle_minutes, session_hours: a session ends after so long without use, and at all.
        file_bytes, request_bytes: of one image or archive member, and of one upload.
        login_tries, lock_minutes: failed passwords until an account is locked, and how long.
        demo: demonstration accounts and patients; on the loopback address alone.
        time_zone: name of the IANA database, such as America/Lima; moments are shown in it, and
            its days are counted. What is kept is UTC.
        region: territory whose ways of writing numbers are taken, such as PE; "": the language's.
    """

    data: Path
    database_url: str = ""
    blobs: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    workers: int = 1
    idle_minutes: int = 30
    session_hours: int = 12
    file_bytes: int = 256 * MIB
    request_bytes: int = 2048 * MIB
    login_tries: int = 5
    lock_minutes: int = 15
    demo: bool = False
    time_zone: str = "UTC"
    region: str = ""

    @property
    def url(self) -> str:
        """How browsers reach it, without a final slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def https(self) -> bool:
        return self.url.startswith("https://")

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'clinic.sqlite'}"

    @property
    def zone(self) -> tzinfo:
        """The laboratory's time zone.

        Raises:
            InputError: the name is not known, or this machine knows no time zones.
        """
        return _zone(self.time_zone)

    @property
    def bundles(self) -> Path:
        """Folder of uploaded bundles, one a bundle id."""
        return self.data / "bundles"


@cache
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    known = available_timezones()
    if name in known:
        return ZoneInfo(name)
    if len(known) < 2:
        raise InputError(
            "This machine has no time zones.", fix="install tzdata: of the system, or by pip."
        )
    near = get_close_matches(name, sorted(known), n=1)
    raise InputError(
        f"There is no time zone {name!r}.",
        expected="a name of the IANA database, such as America/Lima",
        fix=f"did you mean {near[0]}?" if near else "",
    )


def default_data(*, demo: bool = False) -> Path:
    """Return the folder of what is kept where none is named: below `$XDG_DATA_HOME`."""
    base = os.environ.get("XDG_DATA_HOME")
    above = Path(base) if base else Path.home() / ".local" / "share"
    return above / "cytolens" / ("clinic-demo" if demo else "clinic")
