"""Processes that open one database at the same moment wait for each other."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cytolens.core.database import connect

_MANY = """
import sys, time
from contextlib import closing
from pathlib import Path
from cytolens.core.database import connect
while time.time() < float(sys.argv[2]):
    pass
for number in range(60):
    with closing(connect(Path(f"{sys.argv[1]}{number}"))) as database:
        database.execute("CREATE TABLE IF NOT EXISTS t (x)")
        with database:
            database.execute("INSERT INTO t VALUES (1)")
"""


def test_many_openings_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MANY, str(tmp_path / "d"), str(time.time() + 1)]
    several = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    said = [process.communicate()[1] for process in several]
    assert said == [b"", b"", b""]
    for number in range(60):
        database = connect(tmp_path / f"d{number}")
        assert database.execute("SELECT COUNT(*) FROM t").fetchone() == (3,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()


def test_what_is_locked_for_good_is_said(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "d")
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        connect(tmp_path / "d", 0.1)
    holder.close()


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(b"x" * 5000)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        connect(tmp_path / "d")
