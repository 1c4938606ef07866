"""SIPaKMeD: 4,049 single Pap-smear cells cut from 966 cluster images (Plissiti et al. 2018)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cytolens.data.catalog.contours import contours_to_mask, read_contour
from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.catalog.walking import ClassFolders, images
from cytolens.data.manifest import Row

_COUNTS = {
    "Superficial-Intermediate": 831,
    "Parabasal": 787,
    "Koilocytotic": 825,
    "Metaplastic": 793,
    "Dyskeratotic": 813,
}
_FOLDERS = ClassFolders({name: (f"im_{name}",) for name in _COUNTS})
_NAME = re.compile(r"(\d+)_(\d+)")


def _read(source: Path, variant: str) -> Reading:  # noqa: ARG001  one reader for all variants
    rows, left_out = [], []
    for path, file in images(source):
        label = _FOLDERS.label(path, source)
        if label is None:
            continue
        name = _NAME.fullmatch(path.stem)
        if name is None:
            if not path.stem.isdigit():  # 001.bmp is a cluster image: known, and no single cell
                left_out.append(f"{path}: not named <image>_<cell>")
            continue
        group = f"{label}/{name[1]}"
        rows.append(Row(str(path), file, label, group=group, extra={"cell": name[2]}))
    return Reading(tuple(rows), tuple(left_out))


def _mask(row: Row) -> NDArray[np.uint8] | None:
    contours = {}
    for part in ("cyt", "nuc"):
        endings = (f"_{part}.dat", f"_{part}01.dat", f"_{part}{row.extra['cell']}.dat")
        files = [row.image.with_name(row.image.stem + ending) for ending in endings]
        found = [file for file in files if file.is_file()]
        contours[part] = read_contour(found[0]) if found else None
    if contours["cyt"] is None and contours["nuc"] is None:
        return None
    with Image.open(row.image) as image:
        width, height = image.size
    return contours_to_mask((height, width), contours["cyt"], contours["nuc"])


SIPAKMED = Dataset(
    name="sipakmed",
    title="SIPaKMeD, Pap-smear cells",
    tree="im_<class>/im_<class>/CROPPED/<image>_<cell>.bmp with <image>_<cell>_cyt01.dat and "
    "_nuc01.dat beside it, <class> one of " + ", ".join(_COUNTS),
    group="the cluster image a cell was cut from: class and image number of the file name",
    licence="none stated by the authors; made public for research",
    citation="M. E. Plissiti et al., SIPaKMeD: a new dataset for feature and image based "
    "classification of normal and pathological cervical cells in Pap smear images, ICIP 2018",
    obtain="download the five class archives from the SIPaKMeD page of the University of Ioannina "
    "(cs.uoi.gr/~marina/sipakmed.html) and unpack them into one folder.",
    reader=_read,
    variants=(
        Variant("five", "the five published classes", _COUNTS),
        Variant(
            "three",
            "normal, benign, abnormal as the authors sort the classes",
            {"normal": 831 + 787, "benign": 793, "abnormal": 825 + 813},
            {
                "Superficial-Intermediate": "normal",
                "Parabasal": "normal",
                "Metaplastic": "benign",
                "Koilocytotic": "abnormal",
                "Dyskeratotic": "abnormal",
            },
        ),
    ),
    notes=(
        "No patient key is published: the cluster image is a lower bound of the true unit.",
        "A random split at cell level leaks: neighbouring cells of one image lie on both sides.",
    ),
    mask_of=_mask,
    groups=966,
)
