"""What one look at the pixels of each image says: hash, size, perceptual hash, problem. Cached."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.core.database import connect
from cytolens.core.errors import InputError
from cytolens.core.files import cache_dir, writing
from cytolens.core.profile import stage
from cytolens.data.manifest import Manifest
from cytolens.data.reading import ImageProblem, decode_image

THUMB = 32
_VERSION = 2  # of the cached record; raise it when a field changes meaning
_WORKERS = 2
_COMMIT_EVERY = 256


class Fact(NamedTuple):
    """One image: SHA-256 of the file, size, DCT hash, grey thumbnail (bytes) and mean colour."""

    sha256: str
    width: int
    height: int
    phash: int
    thumb: bytes
    mean: tuple[float, float, float]
    bright: bytes  # THUMB x THUMB: largest channel minimum of the cell, for burned-in marks


@dataclass(frozen=True)
class Facts:
    """Facts in manifest order.

    Attributes:
        sha256: hex digest of each file's bytes.
        sizes: int64 [n, 2], width and height in pixels.
        phash: uint64 [n], 64-bit DCT hash (Zauner 2010) of the grey image.
        thumbs: uint8 [n, 32, 32], grey thumbnail (area mean).
        means: float64 [n, 3], mean R, G, B in 0..255.
        bright: uint8 [n, 32, 32], the brightest pixel of each cell (minimum of R, G, B).
    """

    sha256: tuple[str, ...]
    sizes: NDArray[np.int64]
    phash: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]
    means: NDArray[np.float64]
    bright: NDArray[np.uint8]


def scan(
    manifest: Manifest, *, cache: Path | None = None, step: Callable[[], None] = lambda: None
) -> tuple[Facts, dict[str, str]]:
    """Look at every image once.

    Args:
        manifest: the images.
        cache: SQLite file of earlier looks; default `facts.sqlite` in the cache folder.
        step: called once an image, for a progress bar.

    Returns:
        The facts, and the problems as {id: reason} (those images have blank facts).
    """
    import hashlib

    path = cache or cache_dir() / "facts.sqlite"
    with _usable(path), closing(_open(path)) as database:
        known = _Known(database)

        def look(file: Path) -> Fact | str:
            try:
                with stage("read"):
                    content = file.read_bytes()
            except OSError as error:
                return f"cannot be read ({error.strerror})"
            with stage("hash"):
                digest = hashlib.sha256(content).hexdigest()
            return known.get(digest) or _look(file, content, digest)

        found: list[Fact | str] = []
        with ThreadPoolExecutor(_WORKERS) as pool:
            for fact in _windowed(pool, look, [row.image for row in manifest.rows]):
                found.append(fact)
                if isinstance(fact, Fact):
                    known.add(fact)
                step()
        known.flush()
    problems = {
        row.id: fact
        for row, fact in zip(manifest.rows, found, strict=True)
        if isinstance(fact, str)
    }
    return _columns([_BLANK if isinstance(fact, str) else fact for fact in found]), problems


def scan_or_fail(
    manifest: Manifest, *, cache: Path | None = None, step: Callable[[], None] = lambda: None
) -> Facts:
    """Like `scan`, but images with problems are an error that names them.

    Raises:
        InputError: some images cannot be used.
    """
    facts, problems = scan(manifest, cache=cache, step=step)
    if problems:
        raise InputError(
            f"{len(problems)} of {len(manifest)} images of {manifest.name} cannot be used.",
            rows=[f"{name}: {reason}" for name, reason in problems.items()],
            expected="whole 8-bit RGB, grey or palette images without transparency",
            fix="convert or replace these files, or remove their rows "
            "(`cytolens data audit` lists them all).",
        )
    return facts


def _windowed(
    pool: ThreadPoolExecutor, look: Callable[[Path], Fact | str], files: list[Path]
) -> Iterator[Fact | str]:
    """Map in order with few images in flight, so that memory does not grow with the set."""
    window = 64
    for start in range(0, len(files), window):
        yield from pool.map(look, files[start : start + window])


def _look(file: Path, content: bytes, digest: str) -> Fact | str:
    try:
        image = decode_image(file, content)
    except ImageProblem as problem:
        return problem.reason
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    thumb = cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    mean = cv2.mean(image)
    return Fact(
        digest,
        image.shape[1],
        image.shape[0],
        _dct_hash(thumb),
        thumb.tobytes(),
        (float(mean[0]), float(mean[1]), float(mean[2])),
        _brightest(image).tobytes(),
    )


def _dct_hash(thumb: NDArray[np.generic]) -> int:
    """Return the 64 signs of the low 8 x 8 DCT coefficients about their median (Zauner 2010)."""
    low = cv2.dct(thumb.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).view(">u8")[0])


def _brightest(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest min(R, G, B) in each cell of a THUMB x THUMB grid, uint8 [32, 32]."""
    darkest = np.minimum(np.minimum(image[..., 0], image[..., 1]), image[..., 2])
    height, width = darkest.shape
    rows = np.minimum(np.arange(THUMB) * height // THUMB, height - 1)
    columns = np.minimum(np.arange(THUMB) * width // THUMB, width - 1)
    by_row = np.maximum.reduceat(darkest, rows, axis=0)
    return np.ascontiguousarray(np.maximum.reduceat(by_row, columns, axis=1))


_BLANK = Fact("", 0, 0, 0, bytes(THUMB * THUMB), (0.0, 0.0, 0.0), bytes(THUMB * THUMB))


def _columns(facts: list[Fact]) -> Facts:
    def images(field: int) -> NDArray[np.uint8]:
        joined = b"".join(fact[field] for fact in facts)  # type: ignore[misc]  # bytes fields
        return np.frombuffer(joined, np.uint8).reshape(len(facts), THUMB, THUMB)  # [n, 32, 32]

    return Facts(
        sha256=tuple(fact.sha256 for fact in facts),
        sizes=np.array([(f.width, f.height) for f in facts], dtype=np.int64).reshape(-1, 2),
        phash=np.array([fact.phash for fact in facts], dtype=np.uint64),
        thumbs=images(4),
        means=np.array([fact.mean for fact in facts], dtype=np.float64).reshape(-1, 3),
        bright=images(6),
    )


class _Known:
    """Earlier looks, read once; new ones are written in batches."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._known: dict[str, Fact] = {}
        self._new: list[Fact] = []
        query = "SELECT sha256, width, height, phash, thumb, r, g, b, bright FROM facts"
        for digest, width, height, phash, thumb, r, g, b, bright in database.execute(query):
            fact = Fact(digest, width, height, int(phash, 16), thumb, (r, g, b), bright)
            self._known[digest] = fact

    def get(self, digest: str) -> Fact | None:
        return self._known.get(digest)

    def add(self, fact: Fact) -> None:
        if fact.sha256 not in self._known:
            self._known[fact.sha256] = fact
            self._new.append(fact)
            if len(self._new) >= _COMMIT_EVERY:
                self.flush()

    def flush(self) -> None:
        rows = [
            (f.sha256, f.width, f.height, f"{f.phash:016x}", f.thumb, *f.mean, f.bright)
            for f in self._new
        ]
        with self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
        self._new.clear()


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn what the disk and SQLite refuse into an `InputError`."""
    try:
        with writing(path, "the cache of image facts"):
            yield
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"The cache of image facts at {path} cannot be used: {error}.",
            fix="delete it, free space there, or set CYTOLENS_CACHE to another folder.",
        ) from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = connect(path)
    with database:
        # One transaction, so that a second process does not drop what the first has just made.
        database.execute("BEGIN IMMEDIATE")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            database.execute("DROP TABLE IF EXISTS facts")
            database.execute(f"PRAGMA user_version={_VERSION}")
        database.execute(
            "CREATE TABLE IF NOT EXISTS facts (sha256 TEXT PRIMARY KEY, width INT, height INT,"
            " phash TEXT, thumb BLOB, r REAL, g REAL, b REAL, bright BLOB) WITHOUT ROWID"
        )
    return database
