"""Mendeley LBC: 963 liquid-based Pap fields of 460 patients, 4 Bethesda classes (Hussain 2020)."""

from __future__ import annotations

import re
from pathlib import Path

from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.catalog.walking import ClassFolders, images
from cytolens.data.manifest import Row

_COUNTS = {"NILM": 613, "LSIL": 163, "HSIL": 113, "SCC": 74}
_FOLDERS = ClassFolders(
    {
        "NILM": (
            "NL",
            "Negative for Intraepithelial malignancy",
            "Negative for Intraepithelial lesion or malignancy",
        ),
        "LSIL": (
            "Low squamous intra-epithelial lesion",
            "Low grade squamous intraepithelial lesion",
        ),
        "HSIL": (
            "High squamous intra-epithelial lesion",
            "High grade squamous intraepithelial lesion",
        ),
        "SCC": ("Squamous cell carcinoma",),
    }
)
_SERIES = re.compile(r"([A-Za-z]+_\d+)_? ?\(\d+\)")
_KERAS_COPY = re.compile(r"(.+\(\d+\))_\d+_\d+")  # "LSIL_4 (1)_0_1734": a saved augmented copy


def _read(source: Path, variant: str) -> Reading:  # noqa: ARG001  one variant
    rows = []
    for path, file in images(source):
        if label := _FOLDERS.label(path, source):
            copy = _KERAS_COPY.fullmatch(path.stem)
            series = _SERIES.match(path.stem)
            rows.append(
                Row(
                    str(path),
                    file,
                    label,
                    magnification="400",
                    parent=str(path.with_name(copy[1] + path.suffix)) if copy else None,
                    extra={"series": series[1].upper()} if series else {},
                )
            )
    return Reading(tuple(rows))


MENDELEY_LBC = Dataset(
    name="mendeley_lbc",
    title="Mendeley liquid-based cytology",
    tree="<class>/<name>.jpg, <class> one of NILM, LSIL, HSIL, SCC or their full names "
    "('High squamous intra-epithelial lesion', …)",
    group="none: the set does not say which of its 460 patients an image is of; the column "
    "'series' (NL_3 of 'NL_3_ (2)') keeps the number in the file name",
    licence="CC BY 4.0",
    citation="E. Hussain et al., Liquid based-cytology Pap smear dataset for automated "
    "multi-class diagnosis of pre-cancerous and cervical cancer lesions, Data in Brief 30, 2020",
    obtain="download 'Liquid based cytology pap smear images for multi-class diagnosis of cervical "
    "cancer' from data.mendeley.com (zddtpgzv63) and unpack it.",
    reader=_read,
    variants=(Variant("four", "the four Bethesda classes", _COUNTS),),
    notes=(
        "Patient leakage cannot be excluded: 963 images of 460 patients without a key.",
        "Many public copies are augmented: names like 'LSIL_4 (1)_0_1734', visible borders. Their "
        "source field is kept in the column 'parent'.",
    ),
)
