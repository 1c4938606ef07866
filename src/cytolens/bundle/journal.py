"""What a long prediction has found so far: a line an image, whole even after a kill.

The table itself is written at the end, at once; until then rows stand in `.TABLE.partial` beside
it, as JSON lines. The first line says what made them, so that rows of two bundles never mix.
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


class Journal:
    """An open journal; see `open_journal`.

    Attributes:
        kept: rows that an interrupted command left, by name, each with the stamp of its image.
    """

    def __init__(self, path: Path, made_by: dict[str, Any]) -> None:
        self._path = path
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # a half-written line is predicted again
        lines = whole.splitlines()
        self.kept: dict[str, tuple[str, Row]] = {}
        try:
            head, *rest = (json.loads(line) for line in lines) if lines else (None,)
            self.kept = {name: (stamp, row) for name, stamp, row in rest}
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} is damaged.", fix="remove it.") from error
        if head is not None and head != made_by:
            raise InputError(
                f"{path} holds what another bundle, or another version of cytolens, predicted.",
                fix="use that bundle, choose another place, or remove the file.",
            )
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        # The rows of a batch are written one by one, each at once.
        self._file = path.open("ab", buffering=0)
        if head is None:
            self._write(made_by)

    def row(self, item: Item) -> Row | None:
        """Return what was found of an item, unless its image has changed since."""
        stamp, row = self.kept.get(item.name, (None, None))
        return row if stamp == item.stamp else None

    def add(self, found: Iterable[Done]) -> None:
        """Keep rows; they are safe from a kill of the program when this returns."""
        with writing(self._path, "the predictions"):
            for one in found:
                self._write([one.item.name, one.item.stamp, one.row])

    def _write(self, content: Any) -> None:
        line = json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
        self._file.write(line.encode("utf-8"))

    def close(self, *, remove: bool) -> None:
        self._file.close()
        if remove:
            self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def open_journal(table: Path, made_by: dict[str, Any]) -> Iterator[Journal]:
    """Open the journal beside a table; it is removed when the block ends well.

    Args:
        made_by: what the rows depend on: the bundle's id, the classes.

    Raises:
        InputError: another process writes it, another bundle left it, or the place cannot be
            written.
    """
    path = table.with_name(f".{table.name}.partial")
    with contextlib.ExitStack() as held:
        with writing(table, "the predictions"):
            held.enter_context(lock(path, f"Another process is predicting into {table}."))
            journal = Journal(path, made_by)
        done = False
        try:
            yield journal
            done = True
        finally:
            journal.close(remove=done)
