"""A content-addressed store of feature arrays that survives a kill at any moment.

Rows live in immutable segment files (`.npy`, read by row); one SQLite index says which
row of which segment holds a key. A segment is written whole, synced and renamed before the index
knows it, so a kill leaves at most an orphan file, which the next opening removes. Processes share
the store through SQLite's locks; segments are evicted, least recently used first, over the limit.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.core.database import connect
from cytolens.core.errors import InputError
from cytolens.core.files import cache_dir, lock, writing

DEFAULT_LIMIT = 20 * 2**30  # bytes
_VERSION = 1
_ORPHAN_SECONDS = 3600.0  # a file without an index entry this old belongs to a dead process
_VARIABLES = 900  # SQLite's safe number of parameters in one statement


@dataclass(frozen=True)
class SpaceInfo:
    """One space (one network part, cut, preprocessing, engine) as `cytolens store` lists it."""

    space: str
    about: str
    rows: int
    bytes: int
    last_used: float


def store_limit() -> int:
    """Return the size limit in bytes: `CYTOLENS_STORE_LIMIT` (in GiB), else 20 GiB.

    Raises:
        InputError: the variable is not a number above 0.
    """
    text = os.environ.get("CYTOLENS_STORE_LIMIT")
    if text is None:
        return DEFAULT_LIMIT
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 < limit < float("inf"):
        raise InputError(
            f"CYTOLENS_STORE_LIMIT = {text!r} is not a size.", expected="GiB, a number above 0"
        )
    return int(limit * 2**30)


class Store:
    """Feature rows by (space, key).

    Args:
        folder: where it lives; default `store` in the cache folder.
        limit: bytes before the least recently used segments go; default `store_limit()`.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder = folder or cache_dir() / "store"
        self.limit = store_limit() if limit is None else limit
        self._open: dict[str, _Segment] = {}
        with writing(self.folder, "the feature store"):
            (self.folder / "segments").mkdir(parents=True, exist_ok=True)
            self._remove_orphans()

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """Open the index for one transaction; want of space or rights is an `InputError`."""
        try:
            with closing(connect(self.folder / "index.sqlite")) as database:
                database.execute("PRAGMA foreign_keys=ON")
                with database:
                    _create_tables(database)
                    yield database
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"The feature store at {self.folder} cannot be used: {error}.",
                fix="free space there, or set CYTOLENS_CACHE to another folder.",
            ) from error

    @contextmanager
    def filling(self, space: str) -> Iterator[None]:
        """Be the only process that computes rows of a space; the others wait and find them."""
        with lock(self.folder / f"{space}.lock", "", wait=True):
            yield

    def missing(self, space: str, keys: Sequence[str]) -> list[str]:
        """Return the keys without a row, in their order, each once."""
        found = self._locate(space, keys)
        return [key for key in dict.fromkeys(keys) if key not in found]

    def _locate(self, space: str, keys: Sequence[str]) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        with self._index() as index:
            for start in range(0, len(keys), _VARIABLES):
                part = list(keys[start : start + _VARIABLES])
                marks = ",".join("?" * len(part))
                query = (
                    f"SELECT key, segment, position FROM rows WHERE space = ? AND key IN ({marks})"  # noqa: S608 # only question marks
                )
                for key, segment, position in index.execute(query, [space, *part]):
                    found[key] = (segment, position)
        whole = {s for s in {segment for segment, _ in found.values()} if self._path(s).is_file()}
        return {key: place for key, place in found.items() if place[0] in whole}

    def _segment(self, segment: str) -> _Segment:
        """Open a segment once, however many views have rows in it."""
        if segment not in self._open:
            self._open[segment] = _Segment(self._path(segment))
        return self._open[segment]

    def _path(self, segment: str) -> Path:
        return self.folder / "segments" / f"{segment}.npy"

    def write(self, space: str, about: str, keys: Sequence[str], rows: NDArray[np.generic]) -> None:
        """Add one segment.

        Args:
            space: name of the space.
            about: what the space is, in words, for listings.
            keys: one a row.
            rows: [len(keys), …], any dtype.

        Raises:
            InputError: the disk is full or the folder cannot be written.
        """
        assert len(keys) == len(rows), "one key a row"
        segment = uuid.uuid4().hex
        path = self._path(segment)
        temporary = path.with_suffix(".tmp")
        with writing(path, "features"):
            try:
                with temporary.open("wb") as target:
                    np.save(target, np.ascontiguousarray(rows), allow_pickle=False)
                    target.flush()
                    os.fsync(target.fileno())
                temporary.rename(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        with self._index() as index:
            index.execute("INSERT OR IGNORE INTO spaces VALUES (?, ?)", (space, about))
            index.execute(
                "INSERT INTO segments VALUES (?, ?, ?, ?)",
                (segment, space, path.stat().st_size, time.time()),
            )
            index.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)",
                [(space, key, segment, position) for position, key in enumerate(keys)],
            )
        self.evict(keep=segment)

    def read(self, space: str, keys: Sequence[str]) -> Rows:
        """Return the rows of `keys` in their order; they are read when gathered.

        Raises:
            KeyError: a key has no row (see `missing`).
        """
        found = self._locate(space, keys)
        places = [found[key] for key in keys]
        segments = sorted({segment for segment, _ in places})
        try:
            opened = [self._segment(segment) for segment in segments]
        except FileNotFoundError as error:  # another process has just evicted it
            raise KeyError(str(error)) from error
        number = {segment: i for i, segment in enumerate(segments)}
        with self._index() as index:
            index.executemany(
                "UPDATE segments SET last_used = ? WHERE segment = ?",
                [(time.time(), segment) for segment in segments],
            )
        return Rows(
            opened,
            np.array([number[segment] for segment, _ in places], dtype=np.int64),
            np.array([position for _, position in places], dtype=np.int64),
        )

    def evict(self, keep: str = "") -> int:
        """Remove least recently used segments until the store is within its limit.

        A reader that has a removed segment open keeps its data (the file lives on until closed).

        Returns:
            The number of segments removed.
        """
        with self._index() as index:
            index.execute("BEGIN IMMEDIATE")
            (total,) = index.execute("SELECT COALESCE(SUM(bytes), 0) FROM segments").fetchone()
            doomed = []
            order = "SELECT segment, bytes FROM segments ORDER BY last_used"
            for segment, size in index.execute(order).fetchall():
                if total <= self.limit:
                    break
                if segment != keep:
                    doomed.append(segment)
                    total -= size
            index.executemany("DELETE FROM segments WHERE segment = ?", [(s,) for s in doomed])
        for segment in doomed:
            self._path(segment).unlink(missing_ok=True)
        return len(doomed)

    def spaces(self) -> list[SpaceInfo]:
        """Return what the store holds, most recently used first."""
        query = (
            "SELECT s.space, s.about, COUNT(r.key), "
            "(SELECT SUM(bytes) FROM segments WHERE space = s.space), "
            "(SELECT MAX(last_used) FROM segments WHERE space = s.space) "
            "FROM spaces s JOIN rows r ON r.space = s.space GROUP BY s.space ORDER BY 5 DESC"
        )
        with self._index() as index:
            return [SpaceInfo(*row) for row in index.execute(query)]

    def clear(self, space: str | None = None) -> int:
        """Remove one space, or everything; return the bytes freed."""
        with self._index() as index:
            where, values = ("WHERE space = ?", (space,)) if space else ("", ())
            doomed = index.execute(
                f"SELECT segment, bytes FROM segments {where}",  # noqa: S608  # constant text
                values,
            ).fetchall()
            index.executemany("DELETE FROM segments WHERE segment = ?", [(s,) for s, _ in doomed])
        for segment, _ in doomed:
            self._path(segment).unlink(missing_ok=True)
        return sum(size for _, size in doomed)

    def _remove_orphans(self) -> None:
        with self._index() as index:
            known = {segment for (segment,) in index.execute("SELECT segment FROM segments")}
        dead = time.time() - _ORPHAN_SECONDS
        for path in (self.folder / "segments").iterdir():
            with suppress(FileNotFoundError):  # another process has just renamed or removed it
                if path.stem not in known and path.stat().st_mtime < dead:
                    path.unlink()


def _create_tables(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == _VERSION:
        return
    database.execute("BEGIN IMMEDIATE")  # one transaction, synced once
    for statement in (
        "CREATE TABLE IF NOT EXISTS spaces (space TEXT PRIMARY KEY, about TEXT)",
        "CREATE TABLE IF NOT EXISTS segments "
        "(segment TEXT PRIMARY KEY, space TEXT, bytes INT, last_used REAL)",
        "CREATE TABLE IF NOT EXISTS rows (space TEXT, key TEXT, "
        "segment TEXT REFERENCES segments(segment) ON DELETE CASCADE, position INT, "
        "PRIMARY KEY (space, key)) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS rows_of_segment ON rows (segment)",
        f"PRAGMA user_version={_VERSION}",
    ):
        database.execute(statement)
    database.commit()


class _Segment:
    """An open segment file. Rows are read, not mapped: memory stays what is asked for.

    An open file outlives its eviction, so a reader never loses rows under way.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)
        np.lib.format.read_magic(self._file)
        shape, _, self.dtype = np.lib.format.read_array_header_1_0(self._file)
        self.shape: tuple[int, ...] = tuple(shape[1:])
        self._start = self._file.tell()
        self._stride = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def read(self, position: int, out: NDArray[np.generic]) -> None:
        """Fill the C-contiguous `out` with one row."""
        where = self._start + position * self._stride
        got = os.preadv(self._file.fileno(), [out.data.cast("B")], where)
        assert got == self._stride, "segments are written whole"


class Rows:
    """Rows spread over segments, gathered on demand."""

    def __init__(
        self,
        segments: list[_Segment],
        segment: NDArray[np.int64],
        position: NDArray[np.int64],
    ) -> None:
        self._segments = segments
        self._segment = segment
        self._position = position

    def __len__(self) -> int:
        return len(self._segment)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self._segments[0].shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._segments[0].dtype

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """Copy the given rows, [len(rows), …], in their order."""
        out = np.empty((len(rows), *self.shape), dtype=self.dtype)
        places = zip(self._segment[rows].tolist(), self._position[rows].tolist(), strict=True)
        for number, (segment, position) in enumerate(places):
            self._segments[segment].read(position, out[number : number + 1])
        return out
