"""SQLite files that several processes share."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

_PAUSE = 0.02  # seconds


def connect(path: Path, seconds: float = 60.0) -> sqlite3.Connection:
    """Open a database in write-ahead mode, waiting up to `seconds` for other processes.

    SQLite's own waiting does not cover two processes that switch to that mode at the same
    moment: one of them is told "database is locked" at once.

    Raises:
        sqlite3.DatabaseError: it cannot be opened, is no database, or stayed locked.
    """
    database = sqlite3.connect(path, timeout=seconds)
    end = time.monotonic() + seconds
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return database
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                database.close()
                raise
            time.sleep(_PAUSE)
