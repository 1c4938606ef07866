"""Reports of a case: a preliminary one, the signature that makes it final, amendments.

A version is never changed: what is different is a new version, with a reason. Each is made in three
steps, so that no transaction is held while the document is set: what it says is read, the PDF is
made and stored, then one short transaction adds the version if the case is still what was read.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import event, select
from sqlalchemy.orm import Mapper, Session, joinedload
from sqlalchemy.orm.attributes import flag_modified

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import second_factor
from cytolens.clinic.actor import Actor
from cytolens.clinic.blobs import Blobs
from cytolens.clinic.desk import cases, entered
from cytolens.clinic.documents.compose import compose, person
from cytolens.clinic.documents.content import ReportContent
from cytolens.clinic.documents.pdf import pdf
from cytolens.clinic.errors import Conflict, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Reading, Report, User
from cytolens.clinic.tables.cases import SIGNED

_ACTIONS = {
    "preliminary": "report.drafted",
    "final": "report.signed",
    "amended": "report.amended",
}


def draft(clinic: Installation, actor: Actor, case_id: int) -> Report:
    """Make a preliminary version, which nobody has signed.

    Raises:
        NotFound: no such case at the account's sites.
        Conflict: it has no reading of this doctor, or is signed.
    """
    actor.must(Action.SIGN_REPORTS)
    content, revision = _read(clinic, actor, case_id, "preliminary", pending=True)
    return _make(clinic, actor, case_id, content, revision)


def sign(
    clinic: Installation,
    actor: Actor,
    case_id: int,
    password: str,
    revision: int,
    code: str = "",
    *,
    anyway: bool = False,
) -> Report:
    """Sign the newest reading, which must be this doctor's: the report is final.

    Args:
        password: asked for again; code: of the second factor, where the account has one.
        revision: of the case as it was looked at.
        anyway: although images wait for their findings.

    Raises:
        NotFound: no such case at the account's sites.
        NotAllowed: a wrong password or code; nothing is kept but the failed try.
        Conflict: a stale revision, no reading, another doctor's newer one, signed already.
        Refused: images wait for their findings.
        BlobProblem: a picture of the report is missing or was changed.
    """
    actor.must(Action.SIGN_REPORTS)
    content, _ = _read(clinic, actor, case_id, "final", revision=revision, pending=anyway)
    second_factor.confirm(clinic, actor, password, code)
    return _make(clinic, actor, case_id, content, revision)


def amend(
    clinic: Installation,
    actor: Actor,
    case_id: int,
    reason: str,
    password: str,
    revision: int,
    code: str = "",
    *,
    anyway: bool = False,
) -> Report:
    """Replace the signed report by a new version; what it says is the newest reading.

    Args:
        reason: stands in the new version.

    Raises:
        as `sign`; Refused: no reason; Conflict: there is no signed report.
    """
    actor.must(Action.SIGN_REPORTS)
    reason = entered.text(reason, "The reason", 2000)
    content, _ = _read(
        clinic, actor, case_id, "amended", revision=revision, pending=anyway, reason=reason
    )
    if not reason:
        raise Refused("The reason is missing.", fix="say why the signed report is replaced.")
    second_factor.confirm(clinic, actor, password, code)
    return _make(clinic, actor, case_id, content, revision)


def newest_reading(db: Session, case_id: int) -> Reading | None:
    """Return the newest primary reading of a case."""
    return db.scalar(
        select(Reading)
        .options(joinedload(Reading.doctor).lazyload(User.sites))
        .where(Reading.case_id == case_id, Reading.kind == "primary")
        .order_by(Reading.created_at.desc(), Reading.id.desc())
        .limit(1)
    )


def newest_report(db: Session, case_id: int) -> Report | None:
    """Return the newest version of a case's report."""
    return db.scalar(
        select(Report).where(Report.case_id == case_id).order_by(Report.version.desc()).limit(1)
    )


def check_status(case: Case, status: str) -> None:
    """Raise `Conflict` where a case cannot get a report of this status."""
    if status == "amended" and case.status not in SIGNED:
        raise Conflict("There is no signed report to amend.", fix="sign the case.")
    if status != "amended" and case.status in SIGNED:
        raise Conflict("The case is signed already.", fix="amend the report, with a reason.")


def _read(
    clinic: Installation,
    actor: Actor,
    case_id: int,
    status: str,
    *,
    pending: bool,
    revision: int | None = None,
    reason: str = "",
) -> tuple[ReportContent, int]:
    """Return what the new version says, and the revision of the case that it says it of."""
    with clinic.reading() as db:
        case = cases.find(db, actor, case_id)
        if revision is not None:
            cases.fresh(case, revision)
        check_status(case, status)
        reading = _own_reading(db, actor, case)
        if case.pending and not pending:
            raise Refused(
                f"{case.pending} of {case.images_count} images still wait for their finding.",
                fix='wait, or tick "although findings are missing".',
            )
        last = newest_report(db, case.id)
        content = compose(
            db,
            case,
            reading,
            db.get_one(User, actor.user),
            status=status,
            version=1 if last is None else last.version + 1,
            at=_later(last),
            language=actor.language,
            region=clinic.settings.region,
            before=None if last is None else ReportContent.from_json(last.content),
            reason=reason,
        )
        return content, case.revision


def _later(last: Report | None) -> datetime:
    """Return the present time; never before the version before, whatever the clock was set to."""
    return clock.now() if last is None else max(clock.now(), last.created_at)


def _own_reading(db: Session, actor: Actor, case: Case) -> Reading:
    reading = newest_reading(db, case.id)
    if reading is None:
        raise Conflict("The case was not read yet.", fix="enter your reading first.")
    if reading.doctor_id != actor.user:
        raise Conflict(
            f"The newest reading is {reading.doctor.name}'s; a doctor signs the own one.",
            fix="enter your own reading, then sign.",
        )
    return reading


def _make(
    clinic: Installation, actor: Actor, case_id: int, content: ReportContent, revision: int
) -> Report:
    """Set and store the document, then add the version if the case is still as it was read."""
    document = clinic.blobs.put(pdf(content, pictures_of(clinic.blobs, content), content.language))
    with clinic.writing() as db:
        trail.take_turn(db)
        case = cases.find(db, actor, case_id)
        cases.fresh(case, revision)
        check_status(case, content.status)
        _unchanged(db, actor, case, content)
        at = datetime.fromisoformat(content.created_at).astimezone(UTC)
        bundles = [model.bundle for model in content.models]
        report = Report(
            case_id=case.id,
            version=content.version,
            status=content.status,
            reading_id=content.diagnosis.reading,
            signed_by=actor.user if content.signed else None,
            reason=content.reason,
            content=content.to_json(),
            content_sha256=content.sha256,
            pdf=document,
            bundles=bundles,
            created_at=at,
        )
        db.add(report)
        case.status = content.status
        if content.signed:
            case.signed_at = at
        flag_modified(case, "status")  # a version changes the case: its revision grows
        db.flush()
        trail.record(
            db,
            actor,
            _ACTIONS[content.status],
            "report",
            report.id,
            site=case.site_id,
            bundle=bundles[0] if len(bundles) == 1 else "",
            case=case.id,
            version=report.version,
            content=report.content_sha256,
            pdf=document,
            bundles=bundles,
            pending=content.system.pending,
        )
    return report


def _unchanged(db: Session, actor: Actor, case: Case, content: ReportContent) -> None:
    """Refuse what the case's revision does not tell: another reading, version or patient."""
    last = newest_report(db, case.id)
    if (
        _own_reading(db, actor, case).id != content.diagnosis.reading
        or (0 if last is None else last.version) + 1 != content.version
        or person(case.patient) != content.patient
    ):
        raise Conflict(
            "The case was changed while its report was made; nothing was signed.",
            fix="look at what is there now, then repeat.",
        )


def pictures_of(blobs: Blobs, content: ReportContent) -> dict[str, bytes]:
    """Return the pictures that a report names, by their SHA-256.

    Raises:
        BlobProblem: one is missing or was changed.
    """
    found: dict[str, bytes] = {}
    for picture in content.pictures:
        found[picture.sha256] = blobs.get(picture.sha256)
        if picture.overlay is not None:
            found[picture.overlay.sha256] = blobs.get(picture.overlay.sha256)
    return found


@event.listens_for(Report, "before_update")
def _never_changed(mapper: Mapper[Report], connection: object, report: Report) -> None:
    """A version stays as it was made."""
    del mapper, connection
    raise AssertionError(f"version {report.version} of a report would be changed")
