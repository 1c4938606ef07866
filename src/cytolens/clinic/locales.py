"""How numbers and days are written: by the language, and by the region of the laboratory.

Spanish writes 0,5 in Spain and 0.5 in Peru; the language alone does not tell.
"""

from __future__ import annotations

from functools import cache

from babel import Locale
from babel.localedata import exists

from cytolens.core.errors import InputError


@cache
def locale_of(language: str, region: str) -> str:
    """Return Babel's name of a language as it is written in a region: "es_PE".

    Where the language has no ways of its own in the region, it is the language alone.
    """
    name = f"{language}_{region.upper()}"
    return name if region and exists(name) else language


def check_region(region: str) -> None:
    """Refuse what is no region.

    Raises:
        InputError: neither "" nor a code of a territory, of ISO 3166 or of CLDR.
    """
    if region and region.upper() not in Locale("en").territories:
        raise InputError(
            f"There is no region {region!r}.",
            expected="two letters of ISO 3166, such as PE, or 419 for Latin America",
        )
