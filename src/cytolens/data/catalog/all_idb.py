"""ALL-IDB1 (108 blood-smear fields) and ALL-IDB2 (260 cropped cells) (Labati et al. 2011)."""

from __future__ import annotations

import re
from pathlib import Path

from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.catalog.walking import images
from cytolens.data.manifest import Row

_NAME = re.compile(r"Im(\d+)_([01])", re.I)  # Im001_1.jpg: _1 blasts, _0 healthy
_CLASSES = ("healthy", "blast")


def _read(source: Path, variant: str) -> Reading:  # noqa: ARG001  one variant
    rows, left_out = [], []
    for path, file in images(source):
        if name := _NAME.fullmatch(path.stem):
            rows.append(Row(str(path), file, _CLASSES[int(name[2])]))
        else:
            left_out.append(f"{path}: not named Im<number>_<0|1>")
    return Reading(tuple(rows), tuple(left_out))


_LICENCE = "on request from the authors, for research; not to be passed on"
_CITATION = (
    "R. D. Labati, V. Piuri, F. Scotti, ALL-IDB: the acute lymphoblastic leukemia image database "
    "for image processing, ICIP 2011"
)
_OBTAIN = (
    "ask for access at the ALL-IDB page of the University of Milan (homes.di.unimi.it/scotti/all) "
    "and unpack the archive."
)

ALL_IDB1 = Dataset(
    name="all_idb1",
    title="ALL-IDB1, blood-smear fields",
    tree="im/Im001_1.jpg … (and xyc/ with cell positions, not read): _1 with blasts, _0 healthy",
    group="none: no patient key is published",
    licence=_LICENCE,
    citation=_CITATION,
    obtain=_OBTAIN,
    reader=_read,
    variants=(
        Variant("two", "healthy and with blasts", dict(zip(_CLASSES, (59, 49), strict=True))),
    ),
    notes=("Patient leakage cannot be excluded.", "Fields differ in size and magnification."),
)

ALL_IDB2 = Dataset(
    name="all_idb2",
    title="ALL-IDB2, cropped cells",
    tree="img/Im001_1.tif …: _1 blast, _0 healthy",
    group="none: no patient key is published, nor the field of ALL-IDB1 a cell was cut from",
    licence=_LICENCE,
    citation=_CITATION,
    obtain=_OBTAIN,
    reader=_read,
    variants=(Variant("two", "healthy and blast", dict(zip(_CLASSES, (130, 130), strict=True))),),
    notes=(
        "Patient leakage cannot be excluded.",
        "The cells are cut from ALL-IDB1: never train on one and test on the other.",
    ),
)
