"""Whether the nodes of a cluster can do the work: the same files, locks and versions as here."""

from __future__ import annotations

import fcntl
import os
import platform
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cytolens
from cytolens.core.errors import InputError
from cytolens.core.files import cache_dir, lock, sha256_file, writing
from cytolens.experiments.cluster.ray_cluster import RayCluster
from cytolens.experiments.environment import packages

_IMAGES = 16  # whose bytes are compared, spread over the data
_LIBRARIES = ("numpy", "opencv-python-headless", "openvino", "pillow", "scikit-learn", "torch")


@dataclass(frozen=True)
class Expectation:
    """What a node must find.

    Attributes:
        folder: the working folder.
        files: some of the data, with their SHA-256.
        tokens: files in folders that all share; each holds its own name and is locked here.
        versions: of Python, cytolens and the libraries that numbers depend on.
    """

    folder: Path
    files: tuple[tuple[Path, str], ...]
    tokens: tuple[Path, ...]
    versions: dict[str, str | None]


def check_nodes(
    cluster: RayCluster,
    images: Sequence[Path],
    folders: Sequence[Path],
    *,
    always: Sequence[Path] = (),
) -> None:
    """Refuse a cluster of which a node cannot do the work.

    Args:
        images: the files of the data; some are read on every node.
        folders: to which all nodes write, beside the cache.
        always: other files, all of which are read on every node.

    Raises:
        InputError: with what each of these nodes lacks.
    """
    chosen = [*always, *(images[i] for i in _spread(len(images), _IMAGES))]
    hashes = tuple((path, sha256_file(path)) for path in chosen)
    with _tokens([cache_dir(), *folders]) as tokens:
        expected = Expectation(Path.cwd(), hashes, tokens, versions())
        found = cluster.on_each_node(missing, expected)
        unseen = {
            node: [f"writes to another {path.parent}" for path in answers if not path.exists()]
            for node, (answers, _) in found.items()
        }
    lacking = {node: [*lacks, *unseen[node]] for node, (_, lacks) in found.items()}
    if wrong := {node: lacks for node, lacks in lacking.items() if lacks}:
        raise InputError(
            f"{len(wrong)} of {len(found)} nodes of the cluster cannot do this work.",
            rows=[f"{node}: {'; '.join(lacks)}" for node, lacks in wrong.items()],
            fix="give all nodes the data, the run folder and CYTOLENS_CACHE under the same paths, "
            "on a file system with locks, and the same packages (docs/scale.md).",
        )


def missing(expected: Expectation) -> tuple[list[Path], list[str]]:
    """Look around on a node.

    Returns:
        The files that it left in the shared folders, and what it lacks (sentences without their
        subject).
    """
    lacks = [] if expected.folder.is_dir() else [f"does not see the folder {expected.folder}"]
    lacks += _other_files(expected.files)
    answers: list[Path] = []
    for token in expected.tokens:
        if lack := _lacks_folder(token):
            lacks.append(lack)
            continue
        answers.append(token.with_name(f"{token.name}.{uuid.uuid4().hex}"))
        try:
            answers[-1].write_text("")
        except OSError as error:
            lacks.append(f"cannot write to {token.parent} ({error.strerror})")
            answers.pop()
    ours = versions()
    lacks += [
        f"has {name} {ours.get(name)} instead of {version}"
        for name, version in expected.versions.items()
        if ours.get(name) != version
    ]
    return answers, lacks


def versions() -> dict[str, str | None]:
    """Return the versions that decide over last digits."""
    known = packages()
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "cytolens": cytolens.__version__,
        **{name: known[name] for name in _LIBRARIES},
    }


def _other_files(files: Sequence[tuple[Path, str]]) -> list[str]:
    for path, sha in files:
        if not path.is_file():
            return [f"does not see {path}"]
        if sha256_file(path) != sha:
            return [f"sees another file at {path}"]
    return []


def _lacks_folder(token: Path) -> str | None:
    """Read a token, and find it locked by the machine that laid it."""
    if not token.is_file() or token.read_text() != token.name:
        return f"does not share the folder {token.parent}"
    try:
        with token.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        return f"cannot lock files in {token.parent} ({error.strerror})"
    return f"sees no locks of other machines in {token.parent}"


@contextmanager
def _tokens(folders: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Lay a locked token into each folder; take them and their answers away again."""
    made: list[Path] = []
    ours = f".cytolens-probe-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        for folder in dict.fromkeys(path.absolute() for path in folders):
            with writing(folder, "a file that the nodes look for"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / ours).write_text(ours)
            made.append(folder / ours)
        with ExitStack() as locks:
            for token in made:
                locks.enter_context(lock(token, "The probe of the nodes is locked."))
            yield tuple(made)
    finally:
        for token in made:
            for left in token.parent.glob(f"{token.name}*"):
                left.unlink(missing_ok=True)


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` numbers below `count`, evenly, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})
