"""Content-addressed storage: a blob is found by the SHA-256 of its bytes, checked on reading."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cytolens.core.errors import CytolensError
from cytolens.core.files import lock, write_bytes, write_text, writing

OWNER = "owner"  # beside the blobs: whose they are


class BlobProblem(CytolensError):
    """A blob that is missing, or whose bytes are not those that were stored."""


class StoreAway(BlobProblem):
    """The store does not answer, or refuses for now: nothing is known of the blob."""


@dataclass(frozen=True)
class Stored:
    """A blob as its store lists it; `at`: when it was last put."""

    sha256: str
    at: datetime
    bytes: int


class Blobs(Protocol):
    """A store of blobs; the same bytes are kept once."""

    def put(self, content: bytes) -> str:
        """Store bytes and return their SHA-256, hex. When it returns, they are on disk."""
        ...

    def get(self, sha256: str) -> bytes:
        """Return a blob.

        Raises:
            BlobProblem: missing, or changed since.
            StoreAway: the store cannot be asked.
        """
        ...

    def holds(self, sha256: str) -> bool:
        """Tell whether a blob is there; its bytes are not checked."""
        ...

    def delete(self, sha256: str) -> None:
        """Remove a blob, if it is there."""
        ...

    def delete_old(self, sha256: str, before: datetime) -> bool:
        """Remove a blob that was last put before a moment; tell whether it was removed.

        Who puts bytes that are there already counts as putting them, so that nobody loses a blob
        between putting it and saying so in the database.
        """
        ...

    def names(self) -> Iterator[str]:
        """Yield the SHA-256 of every blob."""
        ...

    def stored(self) -> Iterator[Stored]:
        """Yield every blob with its time and size, a part of the store after another."""
        ...

    def unfinished(self, before: datetime, *, remove: bool) -> int:
        """Count what puts that were killed before a moment left; remove it where asked."""
        ...

    def owner(self) -> str:
        """Return the name of the installation whose store it is; "": nobody's yet."""
        ...

    def set_owner(self, name: str) -> None:
        """Write whose store it is."""
        ...


class FolderBlobs:
    """Blobs in a folder, `ab/cd/abcd…`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._path(sha256)
        if not (path.exists() and self._touch(path)):
            with writing(path, "an image"):
                write_bytes(path, content)
        return sha256

    def get(self, sha256: str) -> bytes:
        try:
            content = self._path(sha256).read_bytes()
        except FileNotFoundError as error:
            raise BlobProblem(f"The blob {sha256} is missing.") from error
        return checked(sha256, content)

    def holds(self, sha256: str) -> bool:
        return self._path(sha256).exists()

    def delete(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def delete_old(self, sha256: str, before: datetime) -> bool:
        path = self._path(sha256)
        if not path.exists():
            return False
        with self._removing():
            if not path.exists() or path.stat().st_mtime >= before.timestamp():
                return False
            path.unlink()
            return True

    def _touch(self, path: Path) -> bool:
        """Note that a blob was put again; tell whether it is (still) there."""
        with self._removing():
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    def _removing(self) -> AbstractContextManager[None]:
        return lock(self.folder / ".removing.lock", "", wait=True)

    def names(self) -> Iterator[str]:
        for blob in self.stored():
            yield blob.sha256

    def stored(self) -> Iterator[Stored]:
        for path in self._files("?" * 64):
            if not is_sha256(path.name):
                continue
            try:
                found = path.stat()
            except FileNotFoundError:  # removed meanwhile
                continue
            yield Stored(path.name, datetime.fromtimestamp(found.st_mtime, UTC), found.st_size)

    def unfinished(self, before: datetime, *, remove: bool) -> int:
        count = 0
        for path in self._files(f".{'?' * 64}.*.tmp"):  # as `core.files.atomic_path` names it
            try:
                if path.stat().st_mtime >= before.timestamp():
                    continue
                if remove:
                    path.unlink()
            except FileNotFoundError:  # became a blob, or was removed meanwhile
                continue
            count += 1
        return count

    def owner(self) -> str:
        path = self.folder / OWNER
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def set_owner(self, name: str) -> None:
        write_text(self.folder / OWNER, name)

    def _files(self, pattern: str) -> Iterator[Path]:
        for part in sorted(self.folder.glob("??")):
            yield from sorted(part.glob(f"??/{pattern}"))

    def _path(self, sha256: str) -> Path:
        if not is_sha256(sha256):
            raise BlobProblem("That is no SHA-256.")
        return self.folder / sha256[:2] / sha256[2:4] / sha256


def is_sha256(name: str) -> bool:
    """Tell whether a name is that of a blob: 64 hex digits, lower case."""
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def checked(sha256: str, content: bytes) -> bytes:
    """Return the bytes if they have this hash, else raise `BlobProblem`."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BlobProblem(f"The blob {sha256} was changed after it was stored.")
    return content
