"""Herlev: 917 Pap-smear cells in 7 classes, with drawn masks (Jantzen et al. 2005)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.data.catalog.contours import (
    BACKGROUND,
    CYTOPLASM,
    NUCLEUS,
    UNKNOWN,
    colours_to_mask,
)
from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.catalog.walking import ClassFolders, images
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Row
from cytolens.data.reading import ImageProblem, read_image

_COUNTS = {
    "normal_superficiel": 74,
    "normal_intermediate": 70,
    "normal_columnar": 98,
    "light_dysplastic": 182,
    "moderate_dysplastic": 146,
    "severe_dysplastic": 197,
    "carcinoma_in_situ": 150,
}
_FOLDERS = ClassFolders(
    dict.fromkeys(_COUNTS, ()) | {"normal_superficiel": ("normal_superficial",)}
)
_DRAWING = "-d"  # 153826597-153826619-001-d.bmp is the drawing of …-001.BMP
_COLOURS = {
    (255, 0, 0): BACKGROUND,
    (0, 0, 128): CYTOPLASM,
    (0, 0, 255): NUCLEUS,
    (128, 128, 128): UNKNOWN,
}


def _read(source: Path, variant: str) -> Reading:  # noqa: ARG001  one reader for all variants
    if (source / "manifest.csv").is_file():
        return _from_manifest(source / "manifest.csv")
    rows = []
    for path, file in images(source):
        label = _FOLDERS.label(path, source)
        if label and not path.stem.endswith((_DRAWING, "-seg", "-cyt", "-nuc")):
            rows.append(Row(str(path), file, label, group=path.name.split("-")[0]))
    return Reading(tuple(rows))


def _from_manifest(path: Path) -> Reading:
    rows = read_manifest(path).rows
    if strange := sorted({row.label for row in rows} - set(_COUNTS)):
        raise InputError(
            f"{path} has labels that Herlev does not have.",
            rows=strange,
            expected=", ".join(_COUNTS),
            fix="import it as 'generic'.",
        )
    return Reading(rows)


def _mask(row: Row) -> NDArray[np.uint8] | None:
    for suffix in (".bmp", ".BMP", row.image.suffix):
        drawing = row.image.with_name(row.image.stem + _DRAWING + suffix)
        if drawing.is_file():
            try:
                return colours_to_mask(read_image(drawing), _COLOURS)
            except ImageProblem as problem:
                raise InputError(f"{drawing.name} {problem.reason}") from problem
    return None


_NORMAL = dict.fromkeys(list(_COUNTS)[:3], "normal")
_ABNORMAL = dict.fromkeys(list(_COUNTS)[3:], "abnormal")

HERLEV = Dataset(
    name="herlev",
    title="Herlev (smear2005), Pap-smear cells",
    tree="smear2005/New database pictures/<class>/<name>.BMP with <name>-d.bmp beside it, <class> "
    "one of " + ", ".join(_COUNTS) + "; or a folder with a manifest.csv of these labels",
    group="the file name up to its first '-', taken for the slide or session: inferred from the "
    "names, a lower bound",
    licence="none found; cite the authors",
    citation="J. Jantzen, J. Norup, G. Dounias, B. Bjerregaard, Pap-smear benchmark data for "
    "pattern classification, NiSIS 2005",
    obtain="download smear2005.zip from the MDE-Lab page of the University of the Aegean "
    "(Pap-smear databases) and unpack it.",
    reader=_read,
    variants=(
        Variant("seven", "the seven published classes", _COUNTS),
        Variant(
            "binary", "normal and abnormal", {"normal": 242, "abnormal": 675}, _NORMAL | _ABNORMAL
        ),
    ),
    notes=("No patient key is published.",),
    mask_of=_mask,
)
