"""Content-addressed storage: a blob is found by the SHA-256 of its bytes, checked on reading."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cytolens.core.errors import CytolensError
from cytolens.core.files import lock, write_bytes, writing


class BlobProblem(CytolensError):
    """A blob that is missing, or whose bytes are not those that were stored."""


class StoreAway(BlobProblem):
    """The store does not answer, or refuses for now: nothing is known of the blob."""


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
        for path in sorted(self.folder.glob("??/??/" + "?" * 64)):
            yield path.name

    def _path(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise BlobProblem("That is no SHA-256.")
        return self.folder / sha256[:2] / sha256[2:4] / sha256


def checked(sha256: str, content: bytes) -> bytes:
    """Return the bytes if they have this hash, else raise `BlobProblem`."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BlobProblem(f"The blob {sha256} was changed after it was stored.")
    return content
