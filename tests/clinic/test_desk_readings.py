"""Readings: verdicts, status, blind reading, the quality sample."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select
from tests.clinic.conftest import Maker, People
from tests.clinic.tampering import unguarded

from cytolens.clinic import clock
from cytolens.clinic.desk import cases, quality, readings, view, worklist
from cytolens.clinic.desk.verdicts import VERDICTS, by_rule, possible, settle
from cytolens.clinic.errors import Conflict, NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Entry, QualityDraw, Reading, Report
from cytolens.clinic.vocabulary import vocabulary
from cytolens.core.errors import InputError

Enter = Callable[..., Reading]

NILM, HSIL, UNSAT = map(vocabulary("cervix-liquid").category, ("NILM", "HSIL", "UNSAT"))


@pytest.mark.parametrize(
    "category, decision, verdict",
    [
        (NILM, "clear", "agree"),
        (NILM, "abnormal", "downgrade"),
        (NILM, "refer", "inconclusive"),
        (NILM, None, "inconclusive"),
        (HSIL, "clear", "upgrade"),
        (HSIL, "abnormal", "agree"),
        (HSIL, "refer", "inconclusive"),
        (UNSAT, "clear", "inconclusive"),
        (UNSAT, "abnormal", "inconclusive"),
    ],
)
def test_the_rule(category, decision, verdict) -> None:  # type: ignore[no-untyped-def]
    assert by_rule(category, decision) == verdict
    assert verdict in possible(category, decision)
    assert settle("", category, decision, blind=False) == verdict
    for said in VERDICTS:  # in a blind reading the rule alone counts
        assert settle(said, category, decision, blind=True) == verdict


def test_a_verdict_may_say_more_than_the_rule_but_not_against_it() -> None:
    assert settle("upgrade", HSIL, "abnormal", blind=False) == "upgrade"
    assert settle("inconclusive", NILM, "clear", blind=False) == "inconclusive"
    assert settle("agree", NILM, "refer", blind=False) == "agree"
    for wrong, category, decision in (
        ("agree", HSIL, "clear"),
        ("downgrade", HSIL, "clear"),
        ("agree", NILM, "abnormal"),
        ("upgrade", NILM, "clear"),
        ("agree", UNSAT, "clear"),
    ):
        with pytest.raises(Refused, match="contradicts the category"):
            settle(wrong, category, decision, blind=False)
    with pytest.raises(Refused, match="'perhaps' is no verdict"):
        settle("perhaps", NILM, "clear", blind=False)


@pytest.fixture
def enter(clinic: Installation, people: People) -> Enter:
    """Enter a reading: enter(case, "NILM", by="doctor", kind=…, verdict=…, revision=…)."""

    def enter(
        case_id: int,
        category: str,
        *,
        by: str = "doctor",
        kind: str = "primary",
        verdict: str = "",
        comment: str = "",
        revision: int | None = None,
        **more: object,
    ) -> Reading:
        with clinic.writing() as db:
            now = db.get_one(Case, case_id).revision
            return readings.enter(
                db,
                people.actors[by],
                case_id,
                kind,
                category,
                verdict,
                comment,
                now if revision is None else revision,
                **more,  # type: ignore[arg-type]
            )

    return enter


def _case(clinic: Installation, case_id: int) -> Case:
    with clinic.reading() as db:
        return db.get_one(Case, case_id)


def test_a_reading_makes_a_case_preliminary(
    clinic: Installation, make: Maker, enter: Enter
) -> None:
    case_id = make.case()
    make.image(case_id, make.model(), probability=0.9)
    before = _case(clinic, case_id).revision
    reading = enter(case_id, "HSIL", comment=" seen ", verdict="upgrade")
    assert (reading.verdict, reading.decision, reading.blind) == ("upgrade", "abnormal", False)
    assert reading.comment == "seen"
    case = _case(clinic, case_id)
    assert (case.status, case.revision) == ("preliminary", before + 1)
    enter(case_id, "LSIL")  # again, another one: the revision grows each time
    assert _case(clinic, case_id).revision == before + 2
    with pytest.raises(Conflict, match="changed since you looked"):
        enter(case_id, "NILM", revision=before)
    with clinic.reading() as db:
        lines = db.scalars(select(Entry).where(Entry.action == "reading.entered")).all()
        readings_of = db.scalars(select(Reading.id).order_by(Reading.id)).all()
        assert [line.details["reading"] for line in lines] == readings_of
        assert "seen" not in str([line.details for line in lines])


def test_a_signed_case_is_read_again_for_an_amendment(
    clinic: Installation, make: Maker, enter: Enter
) -> None:
    case_id = make.case(status="final")
    make.image(case_id, make.model())
    enter(case_id, "HSIL")
    assert _case(clinic, case_id).status == "final"


def test_what_cannot_be_a_reading_is_refused(make: Maker, enter: Enter) -> None:
    case_id = make.case()
    with pytest.raises(Refused, match="has no images"):
        enter(case_id, "NILM")
    make.image(case_id, make.model(), probability=0.1)
    make.image(case_id)
    with pytest.raises(Refused, match="1 of 2 images still wait"):
        enter(case_id, "NILM")
    with pytest.raises(InputError, match="'C5' is no category of Cervix"):
        enter(case_id, "C5", anyway=True)
    with pytest.raises(Refused, match="contradicts the category NILM"):
        enter(case_id, "NILM", verdict="upgrade", anyway=True)
    with pytest.raises(Refused, match="'other' is no kind"):
        enter(case_id, "NILM", kind="other", anyway=True)
    with pytest.raises(Conflict, match="decision is 'clear' now"):
        enter(case_id, "NILM", anyway=True, seen="")
    with pytest.raises(NotFound):
        enter(case_id, "NILM", by="doctor_two", anyway=True)
    with pytest.raises(NotFound, match="no such case for you to read again"):
        enter(case_id, "NILM", kind="quality", anyway=True)
    assert enter(case_id, "NILM", anyway=True, seen="clear").verdict == "agree"


def test_blind_until_the_own_reading(
    clinic: Installation, people: People, make: Maker, enter: Enter
) -> None:
    case_id = make.case(blind=True)
    model = make.model()
    for probability in (0.1, 0.95, 0.4):
        make.image(case_id, model, probability=probability)

    def sees(name: str) -> bool:
        with clinic.reading() as db:
            actor = people.actors[name]
            case = cases.find(db, actor, case_id)
            shown = view.view(db, actor, case_id)
            allowed = cases.may_see_findings(db, actor, case)
            row = worklist.worklist(db, actor).rows[0]
        assert allowed == (not shown.hidden) == (not row.hidden)
        if not allowed:
            assert (row.risk, row.decision, shown.risk, shown.decision) == (None,) * 4
            assert {(image.state, image.finding) for image in shown.images} == {("hidden", None)}
            assert [image.name for image in shown.images] == sorted(i.name for i in shown.images)
            assert shown.readings == () and shown.reports == ()
        else:
            assert [image.finding.risk for image in shown.images if image.finding] == [
                0.95,
                0.4,
                0.1,
            ]
        return allowed

    assert not sees("doctor") and not sees("second_doctor")
    reading = enter(case_id, "NILM", verdict="agree")  # what is not to be known cannot be judged
    assert (reading.blind, reading.verdict, reading.decision) == (True, "downgrade", "abnormal")
    assert sees("doctor") and not sees("second_doctor")
    assert enter(case_id, "NILM", verdict="").blind is False
    assert enter(case_id, "HSIL", by="second_doctor").blind is True
    assert sees("second_doctor")


def test_a_blind_case_stands_where_a_case_without_finding_stands(
    clinic: Installation, people: People, make: Maker
) -> None:
    model = make.model()
    ids = [make.case(blind=True), make.case(), make.case(blind=True)]
    now = clock.now()
    with clinic.writing() as db:
        for case_id in ids:
            db.get_one(Case, case_id).received_at = now
    make.image(ids[0], model, probability=0.01)
    make.image(ids[1])
    make.image(ids[2], model, probability=0.99)
    with clinic.reading() as db:
        rows = worklist.worklist(db, people.actors["doctor"]).rows
    assert [row.id for row in rows] == ids  # by number alone


def test_the_signed_case_is_open_to_all_of_the_site(
    clinic: Installation, people: People, make: Maker
) -> None:
    case_id = make.case(blind=True, status="final")
    with clinic.reading() as db:
        assert not view.view(db, people.actors["second_doctor"], case_id).hidden


@pytest.fixture
def drawn(clinic: Installation, make: Maker, enter: Enter) -> QualityDraw:
    """A cleared case that the doctor read, drawn for the quality sample."""
    case_id = make.case()
    make.image(case_id, make.model(), probability=0.1)
    enter(case_id, "NILM")
    with clinic.writing() as db:
        db.get_one(Case, case_id).status = "final"
        draw = QualityDraw(case_id=case_id, period="2026-11", drawn_at=clock.now())
        db.add(draw)
        db.flush()
        return draw


def test_a_quality_reading_is_another_doctor_s_blind_and_changes_nothing(
    clinic: Installation, people: People, drawn: QualityDraw, enter: Enter
) -> None:
    def waiting(name: str) -> list[int]:
        with clinic.reading() as db:
            actor = people.actors[name]
            rows = quality.waiting(db, actor)
            assert quality.count(db, actor) == len(rows)
            return [row.id for row in rows]

    assert waiting("second_doctor") == [drawn.id]
    assert waiting("doctor") == waiting("doctor_two") == []
    with clinic.reading() as db:
        assert view.view(db, people.actors["second_doctor"], drawn.case_id).hidden
        assert not view.view(db, people.actors["doctor"], drawn.case_id).hidden
        for name in ("doctor", "doctor_two"):
            with pytest.raises(NotFound):
                quality.find(db, people.actors[name], drawn.id)
    before = _case(clinic, drawn.case_id)
    with pytest.raises(NotFound):
        enter(drawn.case_id, "NILM", kind="quality", by="doctor")
    reading = enter(drawn.case_id, "HSIL", kind="quality", by="second_doctor", verdict="agree")
    assert (reading.kind, reading.blind, reading.verdict) == ("quality", True, "upgrade")
    after = _case(clinic, drawn.case_id)
    assert (after.status, after.revision) == (before.status, before.revision)
    assert waiting("second_doctor") == []
    with clinic.reading() as db:
        assert db.get_one(QualityDraw, drawn.id).reading_id == reading.id
        (done,) = quality.done(db, people.actors["second_doctor"])
        assert (done.verdict, done.decision, done.category) == ("upgrade", "clear", "HSIL")
        assert not view.view(db, people.actors["second_doctor"], drawn.case_id).hidden


def test_who_signed_does_not_re_read(
    clinic: Installation, people: People, drawn: QualityDraw
) -> None:
    with clinic.writing() as db:
        reading = db.scalars(select(Reading)).one()
        db.add(
            Report(
                case_id=drawn.case_id,
                version=1,
                status="final",
                reading_id=reading.id,
                signed_by=people.users["second_doctor"],
                content={},
                content_sha256="0" * 64,
                pdf="0" * 64,
                bundles=[],
                created_at=clock.now(),
            )
        )
    with clinic.reading() as db:
        assert quality.waiting(db, people.actors["second_doctor"]) == []


def test_two_who_re_read_at_once(
    clinic: Installation, people: People, drawn: QualityDraw, enter: Enter
) -> None:
    with clinic.writing() as db, unguarded(db):  # both may: the first is a third doctor's
        db.scalars(select(Reading)).one().doctor_id = people.users["doctor_two"]
    start = Barrier(2)

    def read(name: str) -> str:
        start.wait()
        try:
            enter(drawn.case_id, "NILM", kind="quality", by=name)
        except (Conflict, NotFound) as error:
            return type(error).__name__
        return "read"

    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(read, ("doctor", "second_doctor")))
    assert sorted(said)[1] == "read" and "read" not in sorted(said)[0]
    with clinic.reading() as db:
        assert len(db.scalars(select(Reading).where(Reading.kind == "quality")).all()) == 1
