"""Who must not see findings yet: one condition, for single cases and for whole lists.

A doctor who has read or signed a case may see its findings. Another one may not while

- the case is to be read blind and is not signed yet, or
- the case was drawn for the quality sample and waits for its second reading,

because that doctor may be the one who reads it next.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, false, not_, or_, select
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, QualityDraw, Reading, Report
from cytolens.clinic.tables.cases import UNSIGNED


def knows(actor: Actor) -> ColumnElement[bool]:
    """Return the condition on `Case` that this doctor has read or signed it."""
    return or_(
        exists().where(Reading.case_id == Case.id, Reading.doctor_id == actor.user),
        exists().where(Report.case_id == Case.id, Report.signed_by == actor.user),
    )


def hidden(actor: Actor) -> ColumnElement[bool]:
    """Return the condition on `Case` that its findings are hidden from this account."""
    if actor.role is None:
        return false()
    drawn = exists().where(QualityDraw.case_id == Case.id, QualityDraw.reading_id.is_(None))
    blind = and_(Case.blind, Case.status.in_(UNSIGNED))
    return and_(or_(blind, drawn), not_(knows(actor)))


def may_see_findings(db: Session, actor: Actor, case: Case) -> bool:
    """Tell whether findings, explanations and others' readings of a case may be shown."""
    if not actor.may(Action.READ_FINDINGS) or not actor.sees(case.site_id):
        return False
    return not db.scalar(select(hidden(actor)).select_from(Case).where(Case.id == case.id))
