"""Predictions as CSV, JSON or Parquet, and reading them back to add to them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytolens.bundle.stream import Row
from cytolens.core.errors import InputError
from cytolens.core.files import write_bytes, writing

FORMATS = ("csv", "json", "parquet")
_MORE = ("set", "decision", "reasons", "strangeness", "examples")


@dataclass(frozen=True)
class Layout:
    """The columns of a flat table.

    Attributes:
        classes: each has its `p_CLASS`.
        more: which of `set` (classes that may be meant, apart by "; "), `decision`, `reasons`,
            `strangeness` (how unlike the training images) and `examples` (the nearest training
            images, "NUMBER CLASS DISTANCE" apart by "; ") stand between those and `problem`.
    """

    classes: tuple[str, ...]
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert set(self.more) <= set(_MORE)

    @property
    def columns(self) -> list[str]:
        return ["image", "label", *(f"p_{c}" for c in self.classes), *self.more, "problem"]

    def flat(self, row: Row) -> dict[str, Any]:
        """Return the fields of a prediction as one value a column; None where there is none."""
        found: dict[str, Any] = {"image": row["image"], "label": row["label"]}
        for name in self.classes:
            found[f"p_{name}"] = row["probabilities"].get(name)
        strange = row["strangeness"]
        said = {
            "set": "; ".join(row["set"]) or None,
            "decision": row["decision"],
            "reasons": "; ".join(row["reasons"]) or None,
            "strangeness": strange and float(strange["score"]),
            "examples": "; ".join(map(_example, row.get("examples", ()))) or None,
        }
        return found | {name: said[name] for name in self.more} | {"problem": row["problem"]}


def csv_text(rows: Iterable[Row], layout: Layout, *, header: bool = True) -> str:
    """Return rows as CSV, numbers with six decimals, an empty cell where there is none."""
    target = io.StringIO()
    table = csv.writer(target, lineterminator="\n")
    if header:
        table.writerow(layout.columns)
    for row in rows:
        table.writerow([_cell(value) for value in layout.flat(row).values()])
    return target.getvalue()


def _example(near: dict[str, Any]) -> str:
    return f"{near['number']} {near['label']} {near['distance']:.4f}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)


class Finished:
    """The rows of a table that was written before.

    Attributes:
        rows: flat rows by the image's name: label and probabilities, for a comparison.
    """

    @staticmethod
    def open(path: Path, format: str, layout: Layout, *, resume: bool) -> Finished | None:
        """Read a table that is to be added to; None where there is none.

        Raises:
            InputError: there is one, and it is not to be added to; or as the class says.
        """
        if not path.exists():
            return None
        if not resume:
            raise InputError(
                f"{path} exists.", fix="`--resume` keeps its rows and adds to them; or remove it."
            )
        return Finished(path, format, layout)

    def __init__(self, path: Path, format: str, layout: Layout) -> None:
        """Read a table; of a CSV the half-written line at its end is left out.

        Raises:
            InputError: it cannot be read, or has other columns.
        """
        self._path, self._format, self._layout = path, format, layout
        try:
            self._content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
        read = {"csv": self._read_csv, "json": self._read_json, "parquet": self._read_parquet}
        self.rows = {str(row["image"]): row for row in read[format]()}

    def _wrong(self, found: str) -> InputError:
        return InputError(
            f"{self._path} is not a table that can be added to: {found}.",
            expected=f"the columns {', '.join(self._layout.columns)}",
            fix="choose another place, or remove it.",
        )

    def _read_csv(self) -> list[dict[str, Any]]:
        self._content = whole_records(self._content)
        try:
            table = csv.DictReader(io.StringIO(self._content.decode("utf-8")), strict=True)
            rows = list(table)
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._wrong(f"it is no CSV ({error})") from error
        if self._content and table.fieldnames != self._layout.columns:
            raise self._wrong("it has other columns")
        return [
            {k: float(v) if k.startswith("p_") and v else v for k, v in row.items()} for row in rows
        ]

    def _read_json(self) -> list[dict[str, Any]]:
        try:
            self._rows = json.loads(self._content)
            return [self._layout.flat(row) for row in self._rows]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._wrong("it is no JSON list of predictions") from error

    def _read_parquet(self) -> list[dict[str, Any]]:
        import pyarrow
        import pyarrow.parquet

        try:
            self._table = pyarrow.parquet.read_table(pyarrow.BufferReader(self._content))
        except (pyarrow.ArrowException, OSError) as error:
            raise self._wrong("it is no Parquet file") from error
        if self._table.column_names != self._layout.columns:
            raise self._wrong("it has other columns")
        rows: list[dict[str, Any]] = self._table.to_pylist()
        return rows

    def extended(self, rows: Sequence[Row]) -> bytes:
        """Return the content of the table with rows below it; what was there stays as it is."""
        if self._format == "csv":
            text = csv_text(rows, self._layout, header=not self._content)
            return self._content + text.encode("utf-8")
        if self._format == "json":
            return _json([*self._rows, *rows])
        import pyarrow

        return _parquet(pyarrow.concat_tables([self._table, _arrow(rows, self._layout)]))


def whole_records(content: bytes) -> bytes:
    """Return a CSV without what follows its last whole record (a line break within quotes is none).

    Quotes are doubled within quotes, so that outside of them their number is even.
    """
    end = quotes = start = 0
    while (stop := content.find(b"\n", start)) >= 0:
        quotes += content.count(b'"', start, stop)
        start = stop + 1
        if quotes % 2 == 0:
            end = start
    return content[:end]


def table_bytes(rows: Sequence[Row], format: str, layout: Layout) -> bytes:
    """Return a whole table in one of `FORMATS`."""
    if format == "csv":
        return csv_text(rows, layout).encode("utf-8")
    return _json(rows) if format == "json" else _parquet(_arrow(rows, layout))


def write_table(path: Path, content: bytes) -> None:
    """Write a table at once.

    Raises:
        InputError: the place cannot be written.
    """
    with writing(path, "the predictions"):
        write_bytes(path, content)


def _json(rows: Sequence[Row]) -> bytes:
    text = json.dumps(list(rows), indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def _arrow(rows: Sequence[Row], layout: Layout) -> Any:
    import pyarrow

    numbers = {f"p_{c}" for c in layout.classes} | {"strangeness"}
    schema = pyarrow.schema(
        [(c, pyarrow.float64() if c in numbers else pyarrow.string()) for c in layout.columns]
    )
    return pyarrow.Table.from_pylist([layout.flat(row) for row in rows], schema=schema)


def _parquet(table: Any) -> bytes:
    import pyarrow
    import pyarrow.parquet

    target = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, target)
    content: bytes = target.getvalue().to_pybytes()
    return content
