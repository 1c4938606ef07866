"""What a backup lies in: a tar file or a folder, of the same names; whole or absent."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from cytolens.core.errors import InputError
from cytolens.core.files import writing

MANIFEST = "manifest.json"
SECRET = "secret.key"
_NAME = re.compile(
    r"manifest\.json|secret\.key|tables/[a-z_]+\.jsonl|blobs/[0-9a-f]{64}"
    r"|bundles/[0-9a-f]{12}/[A-Za-z0-9_][A-Za-z0-9_.-]*"
)


class Writer(Protocol):
    """Takes the files of a backup."""

    def add(self, name: str, content: bytes) -> None: ...

    def add_file(self, name: str, path: Path) -> None: ...


class Reader(Protocol):
    """Gives the files of a backup; only names that a backup has."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...

    def opened(self, name: str) -> IO[bytes]:
        """Open a file that may be larger than the memory."""
        ...


class _FolderWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, content: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def add_file(self, name: str, path: Path) -> None:
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


class _TarWriter:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, content: bytes) -> None:
        self._put(name, len(content), io.BytesIO(content))

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as source:
            self._put(name, path.stat().st_size, source)

    def _put(self, name: str, size: int, source: io.BufferedIOBase) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._archive.addfile(member, source)


@contextlib.contextmanager
def new_backup(target: Path) -> Iterator[Writer]:
    """Yield what takes the files; `target` appears when all are there, readable by its owner.

    Args:
        target: `….tar`, else a folder.

    Raises:
        InputError: it is there already, or cannot be written.
    """
    if target.exists():
        raise InputError(f"{target} is there already.", fix="choose another name.")
    partial = target.with_name(f"{target.name}.partial")
    with writing(target, "the backup"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if target.suffix == ".tar":
                handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "wb") as file:
                    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                        yield _TarWriter(archive)
                    file.flush()
                    os.fsync(file.fileno())
            else:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(mode=0o700)
                yield _FolderWriter(partial)
            partial.rename(target)
        finally:
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink(missing_ok=True)


class _FolderReader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        paths = (path for path in self._folder.rglob("*") if path.is_symlink() or path.is_file())
        return sorted(_checked(path.relative_to(self._folder).as_posix()) for path in paths)

    def read(self, name: str) -> bytes:
        with self.opened(name) as source:
            return source.read()

    def opened(self, name: str) -> IO[bytes]:
        path = self._folder / _checked(name)
        if path.is_symlink():
            raise InputError(f"{name} of the backup is a link.")
        return path.open("rb")


class _TarReader:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members: dict[str, tarfile.TarInfo] = {}
        for member in archive:
            if not member.isreg() or member.name in self._members:
                raise InputError(f"{member.name!r} of the backup is no file, or is there twice.")
            self._members[_checked(member.name)] = member

    def names(self) -> list[str]:
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        with self.opened(name) as source:
            return source.read()

    def opened(self, name: str) -> IO[bytes]:
        source = self._archive.extractfile(self._members[name])
        assert source is not None  # a regular file
        return source


@contextlib.contextmanager
def open_backup(source: Path) -> Iterator[Reader]:
    """Yield what gives the files of a backup.

    Raises:
        InputError: it is none, or holds what no backup has.
    """
    if source.is_dir():
        yield _FolderReader(source)
        return
    try:
        archive = tarfile.open(source, "r:")
    except FileNotFoundError as error:
        raise InputError(f"There is no backup at {source}.") from error
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{source} is no backup, or is damaged.", expected="a tar file") from error
    with archive:
        try:
            yield _TarReader(archive)
        except (tarfile.TarError, EOFError) as error:
            raise InputError(f"{source} is damaged.") from error


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no file of a backup.", fix="do not use this one.")
    return name
