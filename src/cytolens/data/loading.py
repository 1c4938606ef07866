"""Read a manifest from CSV, Parquet or class folders; every defect is one clear error."""

from __future__ import annotations

import csv
import difflib
import io
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cytolens.core.errors import InputError
from cytolens.data.manifest import COLUMNS, Manifest, Row

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jfif"}
)
_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>"})
_MEANT = {"image": "a path", "label": "a class name"}
_RARE = 3  # a class this small whose name is nearly another's is taken for a typo


def read_manifest(path: Path | str, *, labels: bool = True) -> Manifest:
    """Read a manifest.

    Args:
        path: a CSV or Parquet file with at least the columns `image` and `label`, a folder that
            holds a `manifest.csv` or `manifest.parquet`, or a folder of class folders.
        labels: whether a file must have them. False, for images that are only looked at: a label
            that is missing is "", and neither labels nor groups are checked.

    Raises:
        InputError: the file or its columns are missing, cells are empty or NaN, rows are
            duplicated, files are missing, or a label looks like a typo. Rows are named.
    """
    path = Path(path)
    if path.is_dir():
        for name in ("manifest.csv", "manifest.parquet"):
            if (path / name).is_file():
                return read_manifest(path / name, labels=labels)
        return _from_folders(path)
    if not path.exists():
        raise InputError(
            f"There is no manifest at {path}.",
            expected="a CSV or Parquet file, or a folder of class folders",
        )
    read = _parquet if path.suffix.lower() == ".parquet" else _csv
    needed = COLUMNS[: 2 if labels else 1]
    rows = _rows(read(path, needed), path, needed)
    _check_files(rows, path)
    if labels:
        _check_partial_groups(rows, path)
        _check_typos(rows)
    name = path.parent.resolve().name if path.stem == "manifest" else path.stem
    return Manifest(tuple(rows), name)


def _csv(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}.",
            expected="a CSV file in UTF-8 (with or without a byte-order mark)",
            fix="save it again as 'CSV UTF-8'.",
        ) from error
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise InputError(f"{path} holds no rows.", expected="a header line and a line an image")
    delimiter = max(",;\t", key=lambda sign: lines[0].count(sign))
    table = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        numbered = [(table.line_num, row) for row in table if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(
            f"{path} is not a CSV file: {error}, after line {table.line_num}.",
            fix="look for a quote that is never closed.",
        ) from error
    parsed = [cells for _, cells in numbered]
    header = [cell.strip().lower() for cell in parsed[0]]
    _check_header(header, path, needed)
    ragged = [f"line {n}" for n, cells in numbered if len(cells) != len(header)]
    if ragged:
        raise InputError(
            f"{len(ragged)} lines of {path.name} have another number of cells than the header.",
            rows=ragged,
            expected=f"{len(header)} cells",
            fix="put quotes around a cell that holds the separator.",
        )
    return [dict(zip(header, (c.strip() for c in cells), strict=True)) for cells in parsed[1:]]


def _parquet(path: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file: {error}.") from error
    table = table.rename_columns([name.strip().lower() for name in table.column_names])
    _check_header(table.column_names, path, needed)
    records: list[dict[str, Any]] = table.to_pylist()
    if not records:
        raise InputError(f"{path} holds no rows.", expected="a row an image")
    return records


def _check_header(header: list[str], path: Path, needed: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in header]:
        raise InputError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {' and '.join(missing)}.",
            rows=[f"found: {', '.join(header)}"],
            expected=f"{' and '.join(needed)}; optional: {', '.join(COLUMNS[len(needed) :])}",
        )
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise InputError(f"{path} names the column {', '.join(twice)} twice.")


def _text(value: Any) -> str | None:
    """Return a cell as text, or None when it is empty, NaN or a word for that."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in _MISSING else text


def _rows(records: Iterable[Mapping[str, Any]], path: Path, needed: Sequence[str]) -> list[Row]:
    root = path.resolve().parent
    rows: list[Row] = []
    empty: list[str] = []
    not_number: list[str] = []
    for number, record in enumerate(records, start=2):
        cells = {key: _text(value) for key, value in record.items()}
        image, label = cells["image"], cells.get("label")
        if image is None or any(cells[name] is None for name in needed):
            seen = ", ".join(f"{name}={record[name]!r}" for name in needed)
            empty.append(f"row {number}: {seen}")
            continue
        scale = cells.get("um_per_px")
        if scale is not None and not _is_positive(scale):
            not_number.append(f"row {number}: um_per_px={scale!r}")
            continue
        image = image.replace("\\", "/")
        mask, parent = cells.get("mask"), cells.get("parent")
        rows.append(
            Row(
                id=image,
                image=_resolve(root, image),
                label=label or "",
                group=cells.get("group"),
                dataset=cells.get("dataset"),
                mask=_resolve(root, mask.replace("\\", "/")) if mask else None,
                magnification=cells.get("magnification"),
                um_per_px=float(scale) if scale else None,
                parent=parent.replace("\\", "/") if parent else None,
                extra={k: v for k, v in cells.items() if k not in COLUMNS and v is not None},
            )
        )
    if empty:
        raise InputError(
            f"{len(empty)} rows of {path.name} have no {' or no '.join(needed)} (empty or NaN).",
            rows=empty,
            expected=" and ".join(_MEANT[name] for name in needed) + " in each row",
            fix="fill them in or delete these rows.",
        )
    if not_number:
        raise InputError(
            f"{len(not_number)} rows of {path.name} have no usable um_per_px.",
            rows=not_number,
            expected="micrometres a pixel as a number above 0, or an empty cell",
        )
    return rows


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _resolve(root: Path, relative: str) -> Path:
    """Return the file, whichever of the two Unicode normal forms its name is stored in."""
    path = root / relative
    if not path.exists():
        for form in ("NFC", "NFD"):
            other = root / unicodedata.normalize(form, relative)
            if other.exists():
                return other
    return path


def _check_partial_groups(rows: list[Row], path: Path) -> None:
    without = [row.id for row in rows if row.group is None]
    if without and len(without) < len(rows):
        raise InputError(
            f"{len(without)} of {len(rows)} rows of {path.name} have no group (empty or NaN).",
            rows=without,
            expected="a group in each row, or in none",
            fix="name the patient or slide of these rows, or remove the column.",
        )


def _check_files(rows: list[Row], path: Path) -> None:
    if missing := [row.id for row in rows if not row.image.is_file()]:
        raise InputError(
            f"{len(missing)} of {len(rows)} images of {path.name} do not exist.",
            rows=missing,
            expected=f"files, with paths relative to {path.resolve().parent}",
            fix="correct the paths, or put the images there.",
        )
    if masks := [row.id for row in rows if row.mask and not row.mask.is_file()]:
        raise InputError(f"{len(masks)} masks of {path.name} do not exist.", rows=masks)
    seen: defaultdict[Path, list[Row]] = defaultdict(list)
    for row in rows:
        seen[row.image.resolve()].append(row)
    twice = [
        f"{same[0].id}: {len(same)} rows, label {' / '.join(sorted({r.label for r in same}))}"
        for same in seen.values()
        if len(same) > 1
    ]
    if twice:
        raise InputError(
            f"{len(twice)} images of {path.name} stand in more than one row.",
            rows=twice,
            expected="one row an image",
            fix="delete the duplicate rows.",
        )


def _check_typos(rows: list[Row]) -> None:
    """Refuse a rare label whose name is nearly that of a frequent one ("NLIM" beside "NILM")."""
    counts = Counter(row.label for row in rows)
    typos: list[str] = []
    for label, count in counts.items():
        frequent = [other for other, n in counts.items() if n >= 5 * count and n > _RARE]
        folded = {other.casefold(): other for other in frequent}
        near = difflib.get_close_matches(label.casefold(), folded, n=1, cutoff=0.75)
        if count <= _RARE and near and not _differs_by_number(label, folded[near[0]]):
            where = ", ".join(row.id for row in rows if row.label == label)
            typos.append(f"{label!r} ({count}: {where}) looks like {folded[near[0]]!r}")
    if typos:
        raise InputError(
            f"{len(typos)} label{'s look' if len(typos) > 1 else ' looks'} like a typing error.",
            rows=typos,
            expected="each class spelled one way",
            fix="correct the label; if it is a class of its own, give it more than "
            f"{_RARE} images or another name.",
        )


def _differs_by_number(one: str, other: str) -> bool:
    digits = [[c for c in text if c.isdigit()] for text in (one, other)]
    return digits[0] != digits[1]


def _from_folders(folder: Path) -> Manifest:
    rows: list[Row] = []
    root = folder.resolve()
    for class_folder in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        for image in sorted(class_folder.rglob("*")):
            hidden = any(part.startswith(".") for part in image.relative_to(folder).parts)
            if image.suffix.lower() in IMAGE_SUFFIXES and image.is_file() and not hidden:
                name = image.relative_to(folder).as_posix()
                rows.append(Row(id=name, image=root / name, label=class_folder.name))
    if len({row.label for row in rows}) < 2:
        raise InputError(
            f"{folder} is not a folder of class folders: {len(rows)} images in "
            f"{len({row.label for row in rows})} class folders.",
            expected="at least two sub-folders named after the classes, with images in them, "
            "or a manifest.csv",
        )
    _check_typos(rows)
    return Manifest(tuple(rows), root.name)
