"""C-NMC 2019: 10,661 segmented leukaemia cells of the challenge's training set (Gupta 2019)."""

from __future__ import annotations

import re
from pathlib import Path

from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.catalog.walking import images
from cytolens.data.manifest import Row

# UID_11_10_1_all.bmp, UID_H6_10_1_hem.bmp: subject, image, cell, class
_NAME = re.compile(r"UID_(H?\d+)_(\d+)_(\d+)_(all|hem)", re.I)
_CLASSES = {"hem": 3389, "all": 7272}


def _read(source: Path, variant: str) -> Reading:  # noqa: ARG001  one variant
    rows, left_out = [], []
    for path, file in images(source):
        name = _NAME.fullmatch(path.stem)
        if name is None:
            left_out.append(f"{path}: not named UID_<subject>_<image>_<cell>_<all|hem>")
            continue
        fold = [part for part in path.parts if part.startswith("fold_")]
        extra = {"image_number": name[2], "cell": name[3]} | ({"fold": fold[-1]} if fold else {})
        rows.append(Row(str(path), file, name[4].lower(), group=name[1].upper(), extra=extra))
    return Reading(tuple(rows), tuple(left_out))


CNMC2019 = Dataset(
    name="cnmc2019",
    title="C-NMC 2019, leukaemia cells",
    tree="C-NMC_training_data/fold_<0|1|2>/<all|hem>/UID_<subject>_<image>_<cell>_<all|hem>.bmp; "
    "the file names alone are enough",
    group="the subject in the file name (UID_<subject>_…; healthy subjects begin with H)",
    licence="CC BY 3.0",
    citation="A. Gupta, R. Gupta, ALL Challenge dataset of ISBI 2019, The Cancer Imaging Archive, "
    "doi 10.7937/tcia.2019.dc64i46r",
    obtain="download the training set of C_NMC_2019 from The Cancer Imaging Archive "
    "(cancerimagingarchive.net) and unpack it.",
    reader=_read,
    variants=(Variant("two", "healthy (hem) and leukaemic (all) cells", _CLASSES),),
    notes=(
        "The preliminary and final test sets carry no label in their names and are left out.",
        "Cells stand on black: any two correlate, so look at near duplicates before trusting them.",
    ),
    groups=73,
)
