"""Taleghani hospital ALL: blood smears of 89 patients, benign and three B-cell stages (2021)."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.catalog.walking import ClassFolders, folded, images
from cytolens.data.manifest import Row

_FOLDERS = ClassFolders(
    {
        "benign": (),
        "early_pre_b": ("Early", "[Malignant] early Pre-B"),
        "pre_b": ("Pre", "[Malignant] Pre-B"),
        "pro_b": ("Pro", "[Malignant] Pro-B"),
    }
)
_COUNTS_3256 = {"benign": 504, "early_pre_b": 985, "pre_b": 963, "pro_b": 804}
_COUNTS_3242 = {"benign": 512, "early_pre_b": 979, "pre_b": 955, "pro_b": 796}
_SEGMENTED = "segmented"


def _read(source: Path, variant: str) -> Reading:
    rows = []
    for path, file in images(source):
        label = _FOLDERS.label(path, source)
        if label and _is_segmented(path, source) == (variant == _SEGMENTED):
            rows.append(Row(str(path), file, label, magnification="100"))
    return Reading(tuple(rows))


def _is_segmented(path: PurePosixPath, source: Path) -> bool:
    above = (source.resolve().name, *path.parent.parts)
    return any(folded(part) == _SEGMENTED for part in above)


def _guess(source: Path) -> str:
    """The 3,242-image release marks its folders "[Malignant]"."""
    if source.resolve().name.casefold() == _SEGMENTED:
        return _SEGMENTED
    marked = any(re.search(r"\[malignant\]", str(path), re.I) for path, _ in images(source))
    return "3242" if marked else "3256"


TALEGHANI_ALL = Dataset(
    name="taleghani_all",
    title="Taleghani hospital ALL, blood smears",
    tree="Original/<class>/*.jpg and Segmented/<class>/*.jpg (3,256 images each), or "
    "<class>/*.jpg (the release of 3,242); <class> one of Benign, Early, Pre, Pro, "
    "'[Malignant] early Pre-B', '[Malignant] Pre-B', '[Malignant] Pro-B'",
    group="none: the set does not say which of its 89 patients an image is of",
    licence="none found",
    citation="M. Ghaderzadeh et al., A fast and efficient CNN model for B-ALL diagnosis and its "
    "subtypes classification using peripheral blood smear images, Int. J. Intell. Syst. 2021",
    obtain="download 'Acute Lymphoblastic Leukemia (ALL) image dataset' (3,256) or 'Blood Cells "
    "Cancer (ALL) dataset' (3,242) from the authors' pages at kaggle.com and unpack it.",
    reader=_read,
    variants=(
        Variant("3256", "the release of 3,256 images, original pictures", _COUNTS_3256),
        Variant("segmented", "the twins segmented by colour, 3,256 images", _COUNTS_3256),
        Variant("3242", "the release of 3,242 images", _COUNTS_3242),
    ),
    notes=(
        "Patient leakage cannot be excluded: images of 89 patients without a key.",
        "Scale bars are burned into the images: mask or crop them, or a network may read them.",
        "Pro-B holds 40 pairs of exact duplicates.",
    ),
    guess=_guess,
)
