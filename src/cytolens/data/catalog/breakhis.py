"""BreakHis: 7,909 breast histology images of 82 patients at four magnifications (Spanhol 2016)."""

from __future__ import annotations

import re
from pathlib import Path

from cytolens.data.catalog.dataset import Dataset, Reading, Variant
from cytolens.data.catalog.walking import images
from cytolens.data.manifest import Row

_SUBTYPES = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes_tumor",
    "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
_MAGNIFICATIONS = ("40", "100", "200", "400")
_BY_SUBTYPE = {
    "adenosis": (114, 113, 111, 106),
    "fibroadenoma": (253, 260, 264, 237),
    "phyllodes_tumor": (109, 121, 108, 115),
    "tubular_adenoma": (149, 150, 140, 130),
    "ductal_carcinoma": (864, 903, 896, 788),
    "lobular_carcinoma": (156, 170, 163, 137),
    "mucinous_carcinoma": (205, 222, 196, 169),
    "papillary_carcinoma": (145, 142, 135, 138),
}
_KIND = {name: "benign" if i < 4 else "malignant" for i, name in enumerate(_BY_SUBTYPE)}
# SOB_M_DC-14-13412-40-001.png: biopsy, malignant, subtype, year, slide, magnification, number
_NAME = re.compile(r"[A-Z]+_([BM])_([A-Z]+)-(\d+)-(\d+)([A-Z]*)-(\d+)-(\d+)")


def _read(source: Path, variant: str) -> Reading:  # noqa: ARG001  one reader for all variants
    rows, left_out = [], []
    for path, file in images(source):
        name = _NAME.fullmatch(path.stem)
        if name is None or name[2] not in _SUBTYPES or name[6] not in _MAGNIFICATIONS:
            left_out.append(f"{path}: not named <biopsy>_<B|M>_<subtype>-<year>-<slide>-<X>-<n>")
            continue
        subtype = _SUBTYPES[name[2]]
        rows.append(
            Row(
                str(path),
                file,
                subtype,
                group=name[4],
                magnification=name[6],
                extra={"subtype": subtype, "slide": f"{name[3]}-{name[4]}{name[5]}"},
            )
        )
    return Reading(tuple(rows), tuple(left_out))


BREAKHIS = Dataset(
    name="breakhis",
    title="BreakHis, breast histopathology",
    tree="histology_slides/breast/<benign|malignant>/SOB/<subtype>/<slide>/<40X|100X|200X|400X>/"
    "SOB_M_DC-14-13412-40-001.png; the file names alone are enough",
    group="the patient: the number in the file name without the letters that tell slides of one "
    "case apart (22549AB, 22549G), whatever the subtype (13412 stands under two)",
    licence="CC BY 4.0",
    citation="F. A. Spanhol, L. S. Oliveira, C. Petitjean, L. Heutte, A dataset for breast cancer "
    "histopathological image classification, IEEE Trans. Biomed. Eng. 63(7), 2016",
    obtain="download BreaKHis_v1.tar.gz from the page of the VRI laboratory, Federal University of "
    "Paraná (web.inf.ufpr.br/vri, breast cancer database) and unpack it.",
    reader=_read,
    variants=(
        Variant("binary", "benign and malignant", {"benign": 2480, "malignant": 5429}, _KIND),
        Variant(
            "subtype", "the eight tumour types", {name: sum(n) for name, n in _BY_SUBTYPE.items()}
        ),
    ),
    notes=(
        "The published 82 patients count folders: 13412 stands twice, and letters after a number "
        "tell slides of one case apart, so there are fewer groups than 82.",
        "The published table prints 652 benign images at 40X; the set has 625.",
        "The same region stands at several magnifications: never split by image.",
    ),
    strata=(
        "magnification",
        {
            x: {name: counts[i] for name, counts in _BY_SUBTYPE.items()}
            for i, x in enumerate(_MAGNIFICATIONS)
        },
    ),
)
