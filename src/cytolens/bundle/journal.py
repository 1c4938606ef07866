"""What a long prediction has found so far: a line an image, whole even after a kill.

The table itself is written at the end, at once; until then rows stand in `.TABLE.partial` beside
it, as JSON lines, and the tiles of a slide in `.SLIDE.partial`. The first line says what made them,
so that rows of two bundles never mix.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cytolens.bundle.inputs import Item
from cytolens.bundle.stream import Done, Row
from cytolens.core.errors import InputError
from cytolens.core.files import lock, writing


class Lines:
    """An open file of JSON lines that is added to, of which every whole line can be trusted.

    Attributes:
        kept: the lines behind the first that an interrupted command left.
    """

    def __init__(self, path: Path, made_by: dict[str, Any]) -> None:
        self._path = path
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # a half-written line is found again
        lines = whole.splitlines()
        try:
            head, *rest = (json.loads(line) for line in lines) if lines else (None,)
        except ValueError as error:
            raise _damaged(path) from error
        self.kept: list[Any] = rest
        if not rest and head != made_by:  # nothing is lost
            head, whole = None, b""
        if head is not None and head != made_by:
            raise InputError(
                f"{path} holds what another bundle, or another version of cytolens, predicted, or "
                "what was predicted with other settings.",
                fix="repeat that command, choose another place, or remove the file.",
            )
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        # The lines of a batch are written one by one, each at once.
        self._file = path.open("ab", buffering=0)
        self._empty = not rest
        if head is None:
            self._write(made_by)

    def add(self, content: Any) -> None:
        """Keep a line; it is safe from a kill of the program when this returns."""
        with writing(self._path, "the predictions"):
            self._empty = False
            self._write(content)

    def _write(self, content: Any) -> None:
        line = json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
        self._file.write(line.encode("utf-8"))

    def close(self, *, remove: bool) -> None:
        self._file.close()
        if remove or self._empty:
            self._path.unlink(missing_ok=True)


class Journal:
    """An open journal of a table; see `open_journal`.

    Attributes:
        kept: rows that an interrupted command left, by name, each with the stamp of its image.
    """

    def __init__(self, lines: Lines, path: Path) -> None:
        self._lines = lines
        self.kept: dict[str, tuple[str, Row]] = {}
        try:
            self.kept = {name: (stamp, row) for name, stamp, row in lines.kept}
        except (ValueError, TypeError) as error:
            raise _damaged(path) from error

    def row(self, item: Item) -> Row | None:
        """Return what was found of an item, unless its image has changed since."""
        stamp, row = self.kept.get(item.name, (None, None))
        return row if stamp == item.stamp else None

    def add(self, found: Iterable[Done]) -> None:
        """Keep rows; they are safe from a kill of the program when this returns."""
        for one in found:
            self._lines.add([one.item.name, one.item.stamp, one.row])


@contextlib.contextmanager
def open_journal(table: Path, made_by: dict[str, Any]) -> Iterator[Journal]:
    """Open the journal beside a table; it is removed when the block ends well.

    Args:
        made_by: what the rows depend on: the bundle's id, the classes.

    Raises:
        InputError: another process writes it, another bundle left it, or the place cannot be
            written.
    """
    with open_lines(table, made_by) as lines:
        yield Journal(lines, partial_path(table))


@contextlib.contextmanager
def open_lines(target: Path, made_by: dict[str, Any]) -> Iterator[Lines]:
    """Open `.NAME.partial` beside a file or folder; it is removed when the block ends well.

    Args:
        made_by: what the lines depend on.

    Raises:
        InputError: as `open_journal`.
    """
    path = partial_path(target)
    with contextlib.ExitStack() as held:
        with writing(target, "the predictions"):
            held.enter_context(lock(path, f"Another process is predicting into {target}."))
            lines = Lines(path, made_by)
        done = False
        try:
            yield lines
            done = True
        finally:
            lines.close(remove=done)


def partial_path(target: Path) -> Path:
    """Return where the lines of a file or folder stand until it is written."""
    return target.with_name(f".{target.name}.partial")


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged.", fix="remove it.")
