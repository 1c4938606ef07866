"""SQLite files that several processes share, on one machine or on several."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from functools import lru_cache
from pathlib import Path

_PAUSE = 0.02  # seconds
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")  # a blank in a path is written \040
_NETWORK = ("nfs", "cifs", "smb", "lustre", "beegfs", "gpfs", "ceph", "gluster", "afs", "9p")


def connect(path: Path, seconds: float = 60.0) -> sqlite3.Connection:
    """Open a database in write-ahead mode, waiting up to `seconds` for other processes.

    On a network file system it is a rollback journal: write-ahead mode needs memory that all
    processes share, so other machines would not see what is written (https://sqlite.org/wal.html).

    SQLite's own waiting does not cover two processes that switch to that mode at the same
    moment: one of them is told "database is locked" at once.

    Raises:
        sqlite3.DatabaseError: it cannot be opened, is no database, or stayed locked.
    """
    database = sqlite3.connect(path, timeout=seconds)
    mode = "DELETE" if on_network(path) else "WAL"
    end = time.monotonic() + seconds
    while True:
        try:
            database.execute(f"PRAGMA journal_mode={mode}")
            return database
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                database.close()
                raise
            time.sleep(_PAUSE)


def on_network(path: Path) -> bool:
    """Whether a file lies on a file system that other machines may write to, as far as is known."""
    return _type_of(os.path.realpath(path.parent)).startswith(_NETWORK)


@lru_cache(maxsize=64)
def _type_of(folder: str) -> str:
    try:
        return file_system(folder, _MOUNTS.read_text(encoding="utf-8", errors="replace"))
    except OSError:  # no Linux
        return ""


def file_system(folder: str, mounts: str) -> str:
    """Return the type of the file system that a folder lies on, of FUSE its subtype.

    Args:
        folder: absolute, without links.
        mounts: as `/proc/self/mountinfo` has them; the last of equal mount points counts.
    """
    best, found = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])
        inside = point == "/" or folder == point or folder.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, found = point, after.split()[0]
    return found.removeprefix("fuse.")
