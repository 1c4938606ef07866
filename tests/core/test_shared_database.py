"""Which file systems other machines may write to, and how SQLite is told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cytolens.core import database
from cytolens.core.database import connect, file_system

MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /data rw,relatime - nfs4 server:/data rw,vers=4.2
31 30 0:41 / /data/scratch rw shared:3 master:1 - tmpfs tmpfs rw
32 22 0:42 / /with\040blank rw - lustre mds@tcp:/fs rw
33 22 0:43 / /far rw - fuse.cephfs ceph rw
34 22 0:44 / /far rw - xfs /dev/vdb rw
a line of something else
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/somebody", "ext4"),
        ("/", "ext4"),
        ("/data", "nfs4"),
        ("/data/runs/one", "nfs4"),
        ("/database", "ext4"),
        ("/data/scratch/x", "tmpfs"),
        ("/with blank/x", "lustre"),
        ("/far", "xfs"),
    ],
)
def test_the_deepest_and_last_mount_counts(folder: str, kind: str) -> None:
    assert file_system(folder, MOUNTS) == kind


def test_the_subtype_of_fuse_counts() -> None:
    assert file_system("/far", MOUNTS.replace("34 22", "nothing")) == "cephfs"


@pytest.mark.parametrize(("kind", "mode"), [("nfs4", "delete"), ("ext4", "wal")])
def test_on_a_network_there_is_no_write_ahead_log(
    kind: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that was made on one kind is turned into the other where it is opened."""
    with closing(connect(tmp_path / "index.sqlite")) as made:
        made.execute("CREATE TABLE t (x INT)")
    monkeypatch.setattr(database, "_type_of", lambda _: kind)
    with closing(connect(tmp_path / "index.sqlite")) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == (mode,)
        opened.execute("INSERT INTO t VALUES (1)")


def test_where_nothing_is_known_of_mounts_it_is_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MOUNTS", tmp_path / "none")
    database._type_of.cache_clear()
    assert not database.on_network(tmp_path / "index.sqlite")
    database._type_of.cache_clear()
