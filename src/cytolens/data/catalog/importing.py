"""Import a public set: a manifest that points to the images, and converted masks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.files import writing
from cytolens.data.catalog.dataset import Dataset, Variant
from cytolens.data.catalog.report import ImportReport
from cytolens.data.manifest import Manifest, Row

_GAPS_SHOWN = 3  # classes a stratum; beyond it only the total is said


def import_from(
    dataset: Dataset,
    source: Path,
    out: Path,
    *,
    variant: str | None = None,
    masks: bool = True,
    overwrite: bool = False,
) -> ImportReport:
    """Write `<out>/manifest.csv` and, where masks must be converted, `<out>/masks/`.

    The images stay where they are; the manifest points to them. The manifest is written last
    and atomically: where it stands, the import is whole.

    Args:
        dataset: a set of the catalog.
        source: the folder that holds its published tree.
        out: where the manifest goes; may be `source`.
        variant: which labels or release; None takes what the tree tells, or the default.
        masks: convert masks where the set ships them in another form.
        overwrite: replace an earlier import.

    Raises:
        InputError: unrecognised tree, unknown variant, or `out` holds a manifest already.
    """
    manifest, reading, chosen = dataset.survey(source, variant)
    target = out / "manifest.csv"
    convert = masks and dataset.mask_of is not None
    if not overwrite:
        _check_free(out, ("manifest.csv", "masks") if convert else ("manifest.csv",))
    problems: list[str] = []
    with writing(out, "the imported manifest"):
        out.mkdir(parents=True, exist_ok=True)
        written = _with_parents(manifest, out)
        if convert:
            written = _convert_masks(dataset, written, out, problems)
        written.write(target)
    return ImportReport(
        dataset=dataset.name,
        title=dataset.title,
        variant=chosen.name,
        manifest=target,
        counts=_counts(manifest, chosen),
        groups=(len({row.group for row in manifest.rows} - {None}), dataset.groups),
        strata=_strata(dataset, reading.rows),
        masks=sum(row.mask is not None for row in written.rows)
        - sum(row.mask is not None for row in manifest.rows),
        left_out=reading.left_out,
        mask_problems=tuple(problems),
        notes=dataset.notes,
    )


def _check_free(out: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (out / name).exists():
            raise InputError(
                f"{out / name} exists already.",
                expected="a folder without an earlier import",
                fix="choose another --out, or import with --overwrite.",
            )


def _counts(manifest: Manifest, variant: Variant) -> dict[str, tuple[int, int | None]]:
    return {name: (n, variant.counts.get(name)) for name, n in manifest.counts().items()}


def _strata(dataset: Dataset, rows: tuple[Row, ...]) -> tuple[str, ...]:
    if dataset.strata is None:
        return ()
    column, published = dataset.strata
    found = dataset.stratum_counts(rows)
    sentences = []
    for value, classes in published.items():
        have: Mapping[str, int] = found.get(value, {})
        gaps = [f"{c} {have.get(c, 0)} of {n}" for c, n in classes.items() if have.get(c, 0) != n]
        if len(gaps) > _GAPS_SHOWN:
            total = sum(have.get(c, 0) for c in classes)
            sentences.append(f"{column} {value}: {total:,} of {sum(classes.values()):,} images")
        elif gaps:
            sentences.append(f"{column} {value}: {', '.join(gaps)}")
    return tuple(sentences)


def _with_parents(manifest: Manifest, out: Path) -> Manifest:
    """Name parents as the written manifest names their images; an absent one keeps its name."""
    if not any(row.parent for row in manifest.rows):
        return manifest
    base = out.resolve()
    names = {
        row.id: Path(os.path.relpath(row.image.resolve(), base)).as_posix() for row in manifest.rows
    }
    return manifest.with_rows(
        [
            replace(row, parent=names.get(row.parent, row.parent)) if row.parent else row
            for row in manifest.rows
        ]
    )


def _convert_masks(
    dataset: Dataset, manifest: Manifest, out: Path, problems: list[str]
) -> Manifest:
    """Write the masks beside the final place, swap them in, and return rows that name them."""
    final = out / "masks"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix=".masks-", dir=out) as scratch:
        stage = Path(scratch) / "masks"
        for row in manifest.rows:
            mask = _mask(dataset, row, problems) if row.mask is None else None
            if mask is None:
                rows.append(row)
                continue
            name = Path(_safe(row.id)).with_suffix(".png")
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(cv2.imencode(".png", mask)[1].tobytes())
            rows.append(replace(row, mask=final / name))
        if stage.exists():
            if final.exists():
                final.rename(Path(scratch) / "earlier")
            shutil.move(stage, final)
    return manifest.with_rows(rows)


def _mask(dataset: Dataset, row: Row, problems: list[str]) -> NDArray[np.uint8] | None:
    assert dataset.mask_of is not None
    try:
        return dataset.mask_of(row)
    except (InputError, OSError) as error:
        problems.append(f"{row.id}: {error}")
        return None


def _safe(name: str) -> str:
    """Return an id as a path that stays inside its folder."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
