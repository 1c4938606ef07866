"""An uploaded bundle in a folder of its own: from a zip that nobody trusts, or copied.

Members are inflated into files, a piece at a time: a bundle larger than the memory does no harm.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from cytolens.bundle.archive import Archive, Limits
from cytolens.bundle.card import CARD, find_bundle, read_bundle_card
from cytolens.clinic.errors import Refused
from cytolens.clinic.settings import Settings
from cytolens.data.reading import ImageProblem

SUFFIXES = (".json", ".safetensors", ".onnx", ".xml", ".bin", ".md", ".html")
NEW = ".new."  # begins the name of a folder in which a bundle is unpacked
_MIB = 1 << 20
_LIMITS = Limits(free=64 * _MIB, member=4096 * _MIB, total=8192 * _MIB, members=1000)
_CARD_LIMIT = 16 * _MIB  # it is read whole


def unpack(source: Path, target: Path) -> list[str]:
    """Put the files of a bundle into the folder `target`.

    Args:
        source: a zip archive that holds one bundle, at its top or in a folder; or such a folder.

    Returns:
        names of files beside the bundle's own, which were left behind.

    Raises:
        Refused: no bundle, or several; an archive that cannot be read, or holds too much.
    """
    if source.is_dir():
        return _copied(find_bundle(source), target)
    try:
        return _inflated(source, target)
    except ImageProblem as problem:
        if problem.path != source:
            raise Refused(f"{problem.path.name} in the archive {problem.reason}.") from problem
        reason = problem.reason.replace("holds no images", "holds no bundle")
        raise Refused(
            f"The archive {reason}.", expected="a zip archive of a bundle's folder"
        ) from problem


def sweep_unfinished(settings: Settings) -> int:
    """Remove what a server that was killed left of bundles it unpacked; return how many."""
    left = list(settings.bundles.glob(f"{NEW}*"))
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _inflated(source: Path, target: Path) -> list[str]:
    archive = Archive(source, SUFFIXES, _LIMITS)
    paths = {PurePosixPath(member.filename): member for member in archive.members}
    cards = [path for path in paths if path.name == CARD]
    if len(cards) != 1:
        raise Refused(
            f"The archive holds {len(cards)} bundles." if cards else "The archive holds no bundle.",
            expected=f"one {CARD} with its files beside it",
        )
    [card] = cards
    if paths[card].file_size > _CARD_LIMIT:  # more is not inflated than the archive says
        raise Refused(f"{CARD} is too large.", expected=f"at most {_CARD_LIMIT // _MIB} MiB")
    archive.extract(paths[card], target / CARD)
    wanted = _files_of(target)
    if lacking := [name for name in wanted if card.parent / name not in paths]:
        raise Refused(f"The archive lacks {lacking[0]}, which {CARD} names.")
    members = {name: paths[card.parent / name] for name in wanted}
    if sum(member.file_size for member in members.values()) > _LIMITS.total:
        raise Refused(
            "The bundle is too large.", expected=f"at most {_LIMITS.total // _MIB:,} MiB in all"
        )
    for name, member in members.items():
        archive.extract(member, target / name)
    own = {card, *(card.parent / name for name in wanted)}
    return sorted(str(path) for path in paths if path not in own)


def _copied(source: Path, target: Path) -> list[str]:
    if not (source / CARD).is_file():
        raise Refused(f"There is no bundle at {source}.", expected=f"a folder with {CARD}")
    shutil.copyfile(source / CARD, target / CARD)
    wanted = _files_of(target)
    for name in wanted:
        if not (source / name).is_file():
            raise Refused(f"The folder lacks {name}, which {CARD} names.")
        shutil.copyfile(source / name, target / name)
    return sorted(path.name for path in source.iterdir() if path.name not in {CARD, *wanted})


def _files_of(folder: Path) -> list[str]:
    """Return the names of the files that `bundle.json` vouches for."""
    names = sorted(read_bundle_card(folder).files)
    for name in names:
        if PurePosixPath(name).name != name or "\\" in name or name in ("", ".", "..", CARD):
            raise Refused(f"The bundle names a file outside of it: {name!r}.")
    return names
