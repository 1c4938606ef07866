"""Files that are either whole or absent, content hashes, and the places cytolens writes to."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cytolens.core.errors import InputError

_CHUNK = 1 << 20


@contextlib.contextmanager
def writing(path: Path, purpose: str) -> Iterator[None]:
    """Turn the system's refusals (disk full, read-only, no permission) into an `InputError`."""
    try:
        yield
    except OSError as error:
        causes = {
            errno.ENOSPC: ("the disk is full", "free some space, or choose another place"),
            errno.EDQUOT: ("the quota is used up", "free some space, or choose another place"),
            errno.EROFS: ("the place is read-only", "choose a folder that can be written"),
            errno.EACCES: ("permission is denied", "choose a folder that can be written"),
            errno.EPERM: ("permission is denied", "choose a folder that can be written"),
            errno.ENOTDIR: ("a part of the path is a file", "choose another path"),
            errno.EEXIST: ("a part of the path is a file", "choose another path"),
        }
        if error.errno not in causes:
            raise
        why, fix = causes[error.errno]
        raise InputError(f"Cannot write {purpose} at {path}: {why}.", fix=f"{fix}.") from error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which it replaces on success.

    The system gives it the rights that the process's umask leaves. The umask itself is not looked
    at: to read it is to change it, for all threads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON (no NaN), indented, with a final newline."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, purpose: str) -> Any:
    """Read JSON.

    Raises:
        InputError: the file is missing or not JSON; `purpose` says what it was to be.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"There is no {purpose} at {path}.") from error
    except OSError as error:
        raise InputError(f"The {purpose} at {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path} is not a {purpose}: {error}.", expected="JSON in UTF-8"
        ) from error


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(content: Any) -> str:
    """Return the hex SHA-256 of `content` as canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def cache_dir() -> Path:
    """Return `CYTOLENS_CACHE`, else `$XDG_CACHE_HOME/cytolens`, else `~/.cache/cytolens`."""
    if chosen := os.environ.get("CYTOLENS_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cytolens"


@contextlib.contextmanager
def lock(
    path: Path, busy: str, *, wait: bool = False, make_folder: bool = True, shared: bool = False
) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel releases it however the process ends.

    Args:
        busy: what to say when another process holds it.
        wait: wait for that process instead.
        shared: hold it beside others that share it; who wants it alone waits for all of them.
        make_folder: make the folder of `path` where it is missing.

    Raises:
        InputError: another process holds it, and `wait` is not set.
        FileNotFoundError: there is no folder, and `make_folder` is not set.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise InputError(busy, fix="wait for it to end, or choose another place.") from error
        yield
