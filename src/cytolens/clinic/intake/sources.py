"""Files that were handed in, one after another; archives are opened, each member is a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cytolens.bundle.archive import Archive, Limits
from cytolens.bundle.inputs import ARCHIVE_SUFFIXES, TAKEN
from cytolens.clinic.intake.names import shown_name
from cytolens.data.reading import ImageProblem


@dataclass(frozen=True)
class Source:
    """One file: what it is called, and what returns its bytes or raises `ImageProblem`."""

    name: str
    read: Callable[[], bytes]


def sources(
    files: Iterable[tuple[str, Path]], *, file_bytes: int, total_bytes: int
) -> Iterator[Source]:
    """Yield the files, and in place of an archive what is in it.

    What cannot be read says why when it is read. Of an archive only what is called like an image
    is taken, nothing is extracted, and it is read with `bundle.archive`'s limits or tighter ones.

    Args:
        files: what each was called, and where it lies.
        file_bytes: of one image or archive member.
        total_bytes: of all members of one archive.
    """
    for given, path in files:
        name = shown_name(given)
        if Path(name).suffix.lower() in ARCHIVE_SUFFIXES:
            yield from _members(name, path, Limits(member=file_bytes, total=total_bytes))
        else:
            yield Source(name, _reader(name, path, file_bytes))


def _reader(name: str, path: Path, limit: int) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            if path.stat().st_size > limit:
                raise ImageProblem(Path(name), f"is larger than {limit >> 20} MiB")
            return path.read_bytes()
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            raise ImageProblem(Path(name), reason) from None

    return read


def _members(name: str, path: Path, limits: Limits) -> Iterator[Source]:
    try:
        archive = Archive(path, TAKEN, limits)
    except ImageProblem as problem:
        yield Source(name, _raises(ImageProblem(Path(name), problem.reason)))
        return
    for member in archive.members:
        # The default binds this member; the loop's variable moves on.
        yield Source(
            shown_name(member.filename),
            lambda member=member: archive.read(member),  # type: ignore[misc]
        )


def _raises(problem: ImageProblem) -> Callable[[], bytes]:
    def read() -> bytes:
        raise problem

    return read
