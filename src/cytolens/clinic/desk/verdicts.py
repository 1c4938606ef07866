"""A doctor's verdict on the system's decision, and what it must be where the category says it.

The rule, by the severity of the category that the doctor found (0 clear, above 0 abnormal, -1 says
nothing) and the system's decision:

    decision     clear category   abnormal category   no severity
    clear        agree            upgrade             inconclusive
    abnormal     downgrade        agree               inconclusive
    refer, none  inconclusive     inconclusive        inconclusive

A system that refers, or says nothing, has made no claim to agree with. In a blind reading the rule
is the verdict. Otherwise a doctor may say more than the rule knows (an abnormal case that is worse
than the label: "upgrade"), but not against it.
"""

from __future__ import annotations

from cytolens.clinic.errors import Refused
from cytolens.clinic.vocabulary import Category

VERDICTS = ("agree", "upgrade", "downgrade", "inconclusive")


def by_rule(category: Category, decision: str | None) -> str:
    """Return the verdict that follows from a category, by the table above."""
    if category.severity < 0 or decision not in ("clear", "abnormal"):
        return "inconclusive"
    if category.abnormal == (decision == "abnormal"):
        return "agree"
    return "upgrade" if category.abnormal else "downgrade"


def possible(category: Category, decision: str | None) -> tuple[str, ...]:
    """Return the verdicts that do not contradict a category."""
    if category.severity < 0:
        return ("inconclusive",)
    if decision not in ("clear", "abnormal"):
        return VERDICTS
    rule = by_rule(category, decision)
    if rule == "agree" and category.abnormal:
        return VERDICTS  # by degree
    return (rule, "inconclusive")


def settle(verdict: str, category: Category, decision: str | None, *, blind: bool) -> str:
    """Return the verdict that is kept; "" asks for the rule's.

    Raises:
        Refused: no verdict, or one that contradicts the category.
    """
    if blind or not verdict:
        return by_rule(category, decision)
    if verdict not in VERDICTS:
        raise Refused(f"{verdict[:40]!r} is no verdict.", expected="one of " + ", ".join(VERDICTS))
    if verdict not in possible(category, decision):
        raise Refused(
            f"The verdict {verdict!r} contradicts the category {category.code}: the system said "
            f"{decision or 'nothing'!r}.",
            expected=" or ".join(possible(category, decision)),
            fix="choose another verdict, or leave it to the rule.",
        )
    return verdict
