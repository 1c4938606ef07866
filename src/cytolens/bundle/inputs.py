"""What people hand in to be predicted: files, folders, patterns, manifests, archives.

Everything becomes a list of named items, each of which is read when its turn comes; what is wrong
with one of them is said when it is read, and concerns no other.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.archive import Archive, Limits
from cytolens.bundle.dicom import decode_dicom, is_dicom, starts_as_dicom
from cytolens.core.errors import InputError
from cytolens.data.loading import IMAGE_SUFFIXES, read_manifest
from cytolens.data.reading import ImageProblem, decode_image, read_image

Image = NDArray[np.uint8]  # [H, W, 3]

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
SLIDE_SUFFIXES = frozenset(
    {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".tf8", ".btf"}
)
MANIFEST_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
ARCHIVE_SUFFIXES = frozenset({".zip"})
TAKEN = IMAGE_SUFFIXES | DICOM_SUFFIXES | SLIDE_SUFFIXES  # out of folders and archives


@dataclass(frozen=True)
class Item:
    """One image that was handed in.

    Attributes:
        name: what its row is called: a path as it was given, a manifest's id, or
            `archive.zip/member`; no two items of one list share it.
        read: returns it as uint8 RGB [H, W, 3], or raises `ImageProblem`.
        path: the file it is; None inside an archive.
        stamp: changes when the content does: size and time of change, or size and CRC-32 inside
            an archive; "" where there is nothing to read.
    """

    name: str
    read: Callable[[], Image]
    path: Path | None = None
    stamp: str = ""


def open_inputs(paths: Sequence[Path | str], *, limits: Limits | None = None) -> Iterator[Item]:
    """Yield what is to be predicted, in the order given, folders and patterns sorted.

    A folder gives the images in it, however deep: common formats, DICOM, whole slides; not the
    archives and manifests in it, which must be named. A manifest (CSV, Parquet) gives its rows,
    which need no labels. A zip archive gives the images in it, which are read one by one and never
    extracted. A name with `*`, `?` or `[` that is no file is a pattern, in which `**` stands for
    folders. What is named twice comes once.

    Args:
        limits: of an archive; those of `Limits` unless given.

    Raises:
        InputError: there is no image at all, or a manifest is wrong.
    """
    taken: dict[str, Path | None] = {}
    for item in _expand(paths, limits or Limits()):
        if item.name in taken:
            if item.path is not None and item.path == taken[item.name]:
                continue
            item = replace(item, name=_free(item, taken))
            if item.name in taken:
                continue
        taken[item.name] = item.path
        yield item
    if not taken:
        raise InputError("There are no images.", expected="image files or folders")


def _free(item: Item, taken: dict[str, Path | None]) -> str:
    """Return another name for one that is taken: its path, else a number behind it."""
    if item.path is not None:
        return str(item.path)
    number = 2
    while f"{item.name} ({number})" in taken:
        number += 1
    return f"{item.name} ({number})"


def _expand(paths: Iterable[Path | str], limits: Limits) -> Iterator[Item]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from map(_file, _inside(path))
        elif path.exists() or not glob.has_magic(str(path)):
            yield from _one(path, limits)
        elif found := sorted(glob.glob(str(path), recursive=True)):
            yield from _expand(found, limits)
        else:
            yield broken(path, "matches no file")


def _inside(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if path.is_file() and (suffix in TAKEN or (not suffix and is_dicom(path))):
            yield path


def _one(path: Path, limits: Limits) -> Iterator[Item]:
    suffix = path.suffix.lower()
    if suffix in MANIFEST_SUFFIXES:
        for row in read_manifest(path, labels=False).rows:
            yield replace(_file(row.image), name=row.id)
    elif suffix in ARCHIVE_SUFFIXES and path.exists():
        yield from _members(path, limits)
    else:
        yield _file(path)


def _file(path: Path) -> Item:
    try:
        status = path.stat()
        stamp = f"{status.st_size}-{status.st_mtime_ns}"
    except OSError:
        stamp = ""
    return Item(str(path), lambda: read_file(path), path, stamp)


def read_file(path: Path) -> Image:
    """Return one file, DICOM or another image, as uint8 RGB [H, W, 3].

    Raises:
        ImageProblem: as `data.reading.read_image` and `bundle.dicom.decode_dicom` say.
    """
    if path.suffix.lower() in SLIDE_SUFFIXES and path.is_file():
        raise ImageProblem(path, "is a whole slide, which is scored by tiles into a folder")
    if not is_dicom(path):
        return read_image(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageProblem(path, f"cannot be read ({error.strerror})") from error
    return decode_dicom(path, content)


def _members(path: Path, limits: Limits) -> Iterator[Item]:
    try:
        archive = Archive(path, TAKEN, limits)
    except ImageProblem as problem:
        yield broken(path, problem.reason)
        return
    for member in archive.members:
        name = Path(f"{path}/{member.filename}")
        # The defaults bind this member and this name; the loop's variables move on.
        yield Item(
            str(name),
            lambda member=member, name=name: decode(name, archive.read(member)),  # type: ignore[misc]
            stamp=f"{member.file_size}-{member.CRC:08x}",
        )


def decode(path: Path, content: bytes) -> Image:
    """Decode the bytes of an image, DICOM or another; `path` is named in errors only."""
    if path.suffix.lower() in SLIDE_SUFFIXES:
        raise ImageProblem(path, "is a whole slide inside an archive; extract it")
    return decode_dicom(path, content) if starts_as_dicom(content) else decode_image(path, content)


def broken(path: Path, reason: str) -> Item:
    """Return an item that cannot be read; `reason` is a sentence without its subject."""

    def read() -> NoReturn:
        raise ImageProblem(path, reason)

    return Item(str(path), read)
