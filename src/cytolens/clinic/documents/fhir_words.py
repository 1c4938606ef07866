"""Codes of specimens in FHIR, and texts as it takes them."""

from __future__ import annotations

import unicodedata
from typing import Any

LOINC = {  # code and its long common name
    "cervix-liquid": (
        "47527-7",
        "Cytology report of Cervical or vaginal smear or scraping Cyto stain.thin prep",
    ),
    "cervix-conventional": (
        "47528-5",
        "Cytology report of Cervical or vaginal smear or scraping Cyto stain",
    ),
}
SECTIONS = {  # HL7 v2 table 0074, diagnostic service section
    "cervix-liquid": ("CP", "Cytopathology"),
    "cervix-conventional": ("CP", "Cytopathology"),
    "breast-aspirate": ("CP", "Cytopathology"),
    "breast-tissue": ("SP", "Surgical Pathology"),
    "blood-smear": ("HM", "Hematology"),
    "bone-marrow": ("HM", "Hematology"),
}


def without_empty(value: Any) -> Any:
    """Drop what is empty, as FHIR wants; texts lose control characters and outer white space."""
    if isinstance(value, str):
        kept = (c for c in value if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
        return "".join(kept).strip()
    if isinstance(value, list):
        return [one for one in map(without_empty, value) if one not in ("", [], {})]
    if isinstance(value, dict):
        done = {key: without_empty(one) for key, one in value.items()}
        return {key: one for key, one in done.items() if one not in ("", [], {})}
    return value
