"""Zip archives whose members are read one by one, never extracted, and never trusted.

What a header says of sizes is checked first and not believed after: bytes are counted as they are
inflated. A name that leads out of the archive makes all of it suspect; a member that is encrypted,
a link or an archive itself concerns that member alone.
"""

from __future__ import annotations

import stat
import threading
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from cytolens.data.reading import ImageProblem

NESTED = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
_CHUNK = 1 << 20
_MIB = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold, in bytes once inflated.

    Attributes:
        ratio: of inflated to stored bytes of a member, beyond the first `free` bytes.
        free: so much of a member may have any ratio: a blank field shrinks well.
        member: of one member; the largest image that is decoded at once has 255 MiB.
        total: of all members that are read.
        members: how many there may be.
    """

    ratio: float = 100.0
    free: int = 16 * _MIB
    member: int = 512 * _MIB
    total: int = 64 * 1024 * _MIB
    members: int = 200_000


class Archive:
    """A zip archive, open as long as somebody holds it; may be read by several threads.

    Args:
        path: the file.
        suffixes: of members that are taken; archives in the archive are listed too, to be refused.
        limits: of what it may hold.

    Raises:
        ImageProblem: it is no zip archive, is damaged, is empty of images, holds too much, or
            names a member outside of itself.
    """

    def __init__(self, path: Path, suffixes: Collection[str], limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._lock, self._inflated = threading.Lock(), 0
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise ImageProblem(path, "is not a zip archive, or is damaged") from error
        except OSError as error:
            raise ImageProblem(path, f"cannot be read ({error.strerror})") from error
        self._size = path.stat().st_size
        every = self._zip.infolist()
        for member in every:
            if _leads_out(member.orig_filename):
                raise ImageProblem(
                    path,
                    f"names a file outside of the archive ({member.orig_filename!r}), as an attack "
                    "would; none of it is read",
                )
        if len(every) > limits.members:
            raise ImageProblem(
                path, f"holds {len(every):,} files (limit {limits.members:,}); split it"
            )
        self.members = [m for m in every if _is_taken(m, frozenset(suffixes) | NESTED)]
        if not self.members:
            raise ImageProblem(path, "holds no images")

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Inflate one member.

        Raises:
            ImageProblem: it is an archive itself, a link, encrypted, damaged, or larger than a
                limit allows; a suspiciously compressible one is given up as soon as it shows.
        """
        content = bytearray()
        for chunk in self._chunks(member):
            content += chunk
        return bytes(content)

    def extract(self, member: zipfile.ZipInfo, target: Path) -> None:
        """Inflate one member into a file, a piece at a time; where it cannot be, none is left.

        Raises:
            ImageProblem: as `read`.
            OSError: the file cannot be written.
        """
        with target.open("wb") as file:
            try:
                for chunk in self._chunks(member):
                    file.write(chunk)
            except BaseException:
                target.unlink()
                raise

    def _chunks(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        path, size = self._path / member.filename, 0
        if reason := _why_not(member) or self._too_much(member, member.file_size):
            raise ImageProblem(path, reason)
        try:
            source = self._zip.open(member)
        except NotImplementedError as error:
            raise ImageProblem(path, "is compressed in a way that cannot be read") from error
        except _DAMAGED as error:
            raise ImageProblem(path, "is damaged in the archive") from error
        with source:
            while chunk := _piece(source, path):
                size += len(chunk)
                with self._lock:
                    self._inflated += len(chunk)
                if reason := self._too_much(member, size):
                    raise ImageProblem(path, reason)
                yield chunk

    def _too_much(self, member: zipfile.ZipInfo, size: int) -> str:
        limits = self._limits
        if size > limits.member:
            return f"is larger than {_mib(limits.member)} once inflated"
        stored = max(1, min(member.compress_size, self._size))
        if size > limits.free and size > limits.ratio * stored:
            return (
                f"inflates to more than {limits.ratio:g} times its size, as an attack would; "
                "it is not read"
            )
        if self._inflated > limits.total:
            return f"lies behind the first {_mib(limits.total)} of the archive, which is too large"
        return ""


def _piece(source: IO[bytes], path: Path) -> bytes:
    try:
        return source.read(_CHUNK)
    except NotImplementedError as error:
        raise ImageProblem(path, "is compressed in a way that cannot be read") from error
    except _DAMAGED as error:
        raise ImageProblem(path, "is damaged in the archive") from error


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"


def _leads_out(name: str) -> bool:
    """Tell whether a name is absolute, climbs, or is cut by a zero, as any system reads it."""
    windows = PureWindowsPath(name)
    absolute = PurePosixPath(name).is_absolute() or bool(windows.drive or windows.root)
    return absolute or ".." in windows.parts or "\0" in name


def _is_taken(member: zipfile.ZipInfo, suffixes: frozenset[str]) -> bool:
    """Tell whether a member may be an image: no folder, nothing hidden (`__MACOSX/._a.png`)."""
    path = PurePosixPath(member.filename)
    hidden = any(part.startswith(".") for part in path.parts)
    return not member.is_dir() and not hidden and path.suffix.lower() in suffixes


def _why_not(member: zipfile.ZipInfo) -> str:
    if PurePosixPath(member.filename).suffix.lower() in NESTED:
        return "is an archive in an archive; extract it first"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link, not an image"
    if member.flag_bits & 1:
        return "is encrypted; save the archive without a password"
    return ""
