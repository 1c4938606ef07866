"""The words of each specimen type: categories, adequacy, quality indicators.

Cervix: the Bethesda system 2014 (Nayar and Wilbur 2015). Breast: the IAC Yokohama system for
fine-needle aspirates (Field et al. 2019), the B categories of European guidelines for core
biopsies. Blood: no system of categories is in general use; these
are the steps of a screening for acute leukaemia.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from cytolens.core.config import from_dict
from cytolens.core.errors import InputError


@dataclass(frozen=True)
class Term:
    """A word of a vocabulary: a code that is kept, and what is shown."""

    code: str
    name: str


@dataclass(frozen=True)
class Category:
    """A category of diagnosis.

    Attributes:
        severity: 0 clear; higher is worse; -1: it says nothing (unsatisfactory, inconclusive).
    """

    code: str
    name: str
    severity: int

    @property
    def abnormal(self) -> bool:
        return self.severity > 0


@dataclass(frozen=True)
class Vocabulary:
    """The words of one specimen type."""

    code: str
    name: str
    tissue: str
    categories: tuple[Category, ...]
    adequacy: tuple[Term, ...]
    indicators: tuple[Term, ...]

    def category(self, code: str) -> Category:
        """Return a category.

        Raises:
            InputError: not of this vocabulary.
        """
        for category in self.categories:
            if category.code == code:
                return category
        raise InputError(
            f"{code!r} is no category of {self.name}.",
            expected="one of " + ", ".join(category.code for category in self.categories),
        )


@cache
def vocabularies() -> dict[str, Vocabulary]:
    """Return the vocabulary of each specimen type, by its code."""
    content: dict[str, Any] = tomllib.loads(
        (files(__package__) / "specimens.toml").read_text(encoding="utf-8")
    )
    found = {}
    for code, specimen in content.items():
        tissue = content[specimen["as"]] if "as" in specimen else specimen
        words = {key: tissue[key] for key in ("tissue", "categories", "adequacy", "indicators")}
        found[code] = from_dict(Vocabulary, {"code": code, "name": specimen["name"], **words}, code)
    return found


def vocabulary(specimen: str) -> Vocabulary:
    """Return the vocabulary of a specimen type.

    Raises:
        InputError: no such specimen type.
    """
    if specimen not in vocabularies():
        raise InputError(
            f"There is no specimen type {specimen!r}.",
            expected="one of " + ", ".join(vocabularies()),
        )
    return vocabularies()[specimen]
