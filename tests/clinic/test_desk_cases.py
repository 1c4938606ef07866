"""Patients and cases: numbers, words of the vocabulary, assignment, revisions, other sites."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import literal, select
from tests.clinic.conftest import Maker, People

from cytolens.clinic import clock
from cytolens.clinic.desk import cases, patients
from cytolens.clinic.desk.cases import Details
from cytolens.clinic.desk.patients import Identity
from cytolens.clinic.errors import Conflict, NotAllowed, NotFound, Refused
from cytolens.clinic.folding import fold, folded
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Entry, Patient
from cytolens.core.errors import InputError

GARCIA = Identity("P-1", "García", "María", date(1985, 3, 2), "female")


def _enter(clinic: Installation, people: People, *identities: Identity) -> list[int]:
    with clinic.writing() as db:
        actor, site = people.actors["doctor"], people.sites["one"]
        return [patients.create(db, actor, site, identity).id for identity in identities]


def _found(clinic: Installation, people: People, text: str, name: str = "doctor") -> list[str]:
    with clinic.reading() as db:
        return [row.number for row in patients.search(db, people.actors[name], text).rows]


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("", ["P-1", "P-2", "Q%3"]),
        ("p-", ["P-1", "P-2"]),
        ("garc", ["P-1"]),
        ("GARCÍA mar", ["P-1"]),
        ("ÁLV", ["P-2"]),
        ("álv", ["P-2"]),
        ("alvarez", ["P-2"]),
        ("garcia", ["P-1"]),
        ("arcía", []),
        ("%", []),
        ("q%", ["Q%3"]),
        ("_", []),
    ],
)
def test_patients_are_found_by_the_beginning_of_number_or_name(
    clinic: Installation, people: People, text: str, numbers: list[str]
) -> None:
    _enter(clinic, people, GARCIA, Identity("P-2", "Álvarez"), Identity("Q%3", "Smith"))
    assert sorted(_found(clinic, people, text)) == numbers
    assert _found(clinic, people, text, "doctor_two") == []


def test_patients_stand_by_name_as_people_sort_it(clinic: Installation, people: People) -> None:
    names = ["Zeta", "Álvarez", "beta", "Ñandú", "Núñez"]
    _enter(clinic, people, *(Identity(name, name) for name in names))
    assert _found(clinic, people, "") == ["Álvarez", "beta", "Ñandú", "Núñez", "Zeta"]


@pytest.mark.parametrize(
    "text, plain",
    [
        ("Álvarez NÚÑEZ", "alvarez nunez"),
        ("Žižek Öztürk Şahin", "zizek ozturk sahin"),
        ("łódź Strauß", "łodz strauß"),
        ("o'Neill 100%", "o'neill 100%"),
    ],
)
def test_both_databases_fold_alike(clinic: Installation, text: str, plain: str) -> None:
    assert fold(text) == plain
    with clinic.reading() as db:
        assert db.scalar(select(folded(literal(text)))) == plain


def test_search_is_paged(
    clinic: Installation, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patients, "PAGE", 2)
    _enter(clinic, people, *(Identity(f"N{n}", f"Name{n}") for n in range(5)))
    with clinic.reading() as db:
        pages = [patients.search(db, people.actors["doctor"], "name", n) for n in (1, 3, 9)]
    assert [[row.number for row in page.rows] for page in pages] == [["N0", "N1"], ["N4"], ["N4"]]
    assert {(page.count, page.pages) for page in pages} == {(5, 3)}


def test_a_number_is_one_patient_s_of_a_site(clinic: Installation, people: People) -> None:
    _enter(clinic, people, GARCIA)
    with pytest.raises(Conflict, match="P-1 belongs to another patient"):
        _enter(clinic, people, Identity(" P-1 ", "Other"))
    with clinic.writing() as db:
        patients.create(db, people.actors["doctor_two"], people.sites["two"], GARCIA)


@pytest.mark.parametrize(
    "identity, said",
    [
        (Identity("", "Name"), "number is missing"),
        (Identity("1", "  "), "family name is missing"),
        (Identity("1", "x" * 121), "too long: 121"),
        (Identity("1", "a\x00b"), "U\\+0000"),
        (Identity("1", "a\ud800b"), "U\\+D800"),
        (Identity("1", "Name", sex="f"), "'f' is not known"),
        (Identity("1", "Name", birth_date=date(2999, 1, 1)), "2999-01-01 cannot be"),
        (Identity("1", "Name", birth_date=date(1700, 1, 1)), "1700-01-01 cannot be"),
    ],
)
def test_what_cannot_be_a_patient_is_refused(
    clinic: Installation, people: People, identity: Identity, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        _enter(clinic, people, identity)


def test_a_correction_is_logged_by_its_fields_alone(clinic: Installation, people: People) -> None:
    (patient_id,) = _enter(clinic, people, GARCIA)
    actor = people.actors["doctor"]
    with clinic.writing() as db:
        patients.correct(db, actor, patient_id, 1, Identity("P-1", "García Ruiz", "María"))
    with clinic.reading() as db:
        line = db.scalars(select(Entry).where(Entry.action == "patient.corrected")).one()
        assert line.details == {"fields": ["family_name", "birth_date", "sex"]}
        assert db.get_one(Patient, patient_id).family_name == "García Ruiz"
        texts = " ".join(str(entry.details) for entry in db.scalars(select(Entry)))
    assert "García" not in texts and "María" not in texts


def _open(clinic: Installation, people: People, **more: object) -> Case:
    name = str(more.pop("by", "doctor"))
    with clinic.writing() as db:
        patient = db.scalars(select(Patient)).first()
        assert patient is not None
        return cases.open_case(
            db,
            people.actors[name],
            patient.id,
            str(more.pop("specimen", "cervix-liquid")),
            **more,  # type: ignore[arg-type]
        )


def test_accession_numbers_follow_by_site_and_year(clinic: Installation, people: People) -> None:
    _enter(clinic, people, GARCIA)
    year = clock.now().year
    assert _open(clinic, people).accession == f"ONE-{year}-00001"
    _open(clinic, people, accession=f"ONE-{year}-00041")
    _open(clinic, people, accession=f"ONE-{year}-zzzzzzzzz")
    assert _open(clinic, people).accession == f"ONE-{year}-00042"
    earlier = datetime(2024, 5, 6, tzinfo=UTC)
    assert _open(clinic, people, received_at=earlier).accession == "ONE-2024-00001"
    _open(clinic, people, accession=f"ONE-{year}-99999")
    assert _open(clinic, people).accession == f"ONE-{year}-100000"
    assert _open(clinic, people).accession == f"ONE-{year}-100001"
    with pytest.raises(Conflict, match="is taken"):
        _open(clinic, people, accession=f"ONE-{year}-00041")


def test_cases_opened_at_once_get_their_own_numbers(clinic: Installation, people: People) -> None:
    _enter(clinic, people, GARCIA)
    start = Barrier(6)

    def open_two(_: int) -> list[str]:
        start.wait()
        return [_open(clinic, people).accession for _ in range(2)]

    with ThreadPoolExecutor(6) as threads:
        numbers = [number for two in threads.map(open_two, range(6)) for number in two]
    year = clock.now().year
    assert sorted(numbers) == [f"ONE-{year}-{n:05}" for n in range(1, 13)]


def test_a_case_is_what_its_vocabulary_knows(clinic: Installation, people: People) -> None:
    _enter(clinic, people, GARCIA)
    case = _open(
        clinic,
        people,
        specimen="breast-aspirate",
        assigned_id=people.users["second_doctor"],
        details=Details(
            collected_on=date(2026, 1, 2),
            clinical=" mass,\r\nleft ",
            adequacy="satisfactory",
            indicators=["stain", "blood"],
            blind=True,
        ),
    )
    assert (case.clinical, case.indicators, case.blind) == ("mass,\nleft", ["blood", "stain"], True)
    assert (case.status, case.revision, case.assigned_id) == (
        "open",
        1,
        people.users["second_doctor"],
    )


@pytest.mark.parametrize(
    "more, said",
    [
        ({"specimen": "urine"}, "no specimen type 'urine'"),
        ({"details": Details(adequacy="fine")}, "'fine' is no adequacy of Cervix"),
        ({"details": Details(indicators=["smudge"])}, "indicators are not those of Cervix"),
        ({"details": Details(collected_on=date(2999, 1, 1))}, "cannot be"),
        ({"accession": "x" * 65}, "too long"),
        ({"received_at": datetime(2999, 1, 1, tzinfo=UTC)}, "in the future"),
        (
            {
                "received_at": datetime(2026, 1, 1, tzinfo=UTC),
                "details": Details(collected_on=date(2026, 1, 2)),
            },
            "before it was collected",
        ),
    ],
)
def test_what_cannot_be_a_case_is_refused(
    clinic: Installation, people: People, more: dict[str, object], said: str
) -> None:
    _enter(clinic, people, GARCIA)
    with pytest.raises(InputError, match=said):
        _open(clinic, people, **more)


def test_a_case_is_assigned_to_doctors_of_its_site(
    clinic: Installation, people: People, make: Maker
) -> None:
    case_id = make.case()
    actor = people.actors["doctor"]

    def assign(user: int | None, revision: int) -> int:
        with clinic.writing() as db:
            case = cases.assign(db, actor, case_id, revision, user)
            db.flush()
            return case.revision

    assert assign(people.users["second_doctor"], 1) == 2
    for wrong in ("doctor_two", "director"):
        with pytest.raises(Refused, match="no doctor of this laboratory"):
            assign(people.users[wrong], 2)
    with pytest.raises(Conflict, match="changed since you looked"):
        assign(None, 1)
    assert assign(None, 2) == 3
    with clinic.reading() as db:
        assert [name for _, name in cases.doctors(db, people.sites["one"])] == [
            "Doctor",
            "Second Doctor",
        ]


def test_two_who_change_a_case_at_once(clinic: Installation, people: People, make: Maker) -> None:
    case_id = make.case()
    start = Barrier(4)

    def change(n: int) -> bool:
        start.wait()
        try:
            with clinic.writing() as db:
                details = Details(clinical=f"text {n}")
                cases.change(db, people.actors["doctor"], case_id, 1, details)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(change, range(4)))
    assert sum(done) == 1
    with clinic.reading() as db:
        case = db.get_one(Case, case_id)
        assert (case.revision, case.clinical) == (2, f"text {done.index(True)}")


def test_blind_reading_is_settled_by_the_first_finding(
    clinic: Installation, people: People, make: Maker
) -> None:
    case_id = make.case()
    make.image(case_id)
    actor = people.actors["doctor"]
    with clinic.writing() as db:
        case = cases.find(db, actor, case_id)
        cases.change(db, actor, case_id, case.revision, Details(blind=True))
    make.image(case_id, make.model())
    with pytest.raises(Conflict, match="settled when the first finding"), clinic.writing() as db:
        case = cases.find(db, actor, case_id)
        cases.change(db, actor, case_id, case.revision, Details(blind=False))


def test_what_lies_at_another_site_is_not_found(
    clinic: Installation, people: People, make: Maker
) -> None:
    case_id = make.case()
    with clinic.reading() as db:
        patient_id = cases.find(db, people.actors["doctor"], case_id).patient_id
        other = people.actors["doctor_two"]
        for find, key in ((cases.find, case_id), (patients.find, patient_id)):
            for actor, wrong in ((other, key), (people.actors["doctor"], 10**30)):
                with pytest.raises(NotFound):
                    find(db, actor, wrong)
        with pytest.raises(NotFound):
            cases.open_case(db, other, patient_id, "cervix-liquid")
        with pytest.raises(NotFound):
            patients.create(db, other, people.sites["one"], GARCIA)
        for name in ("administrator", "director"):
            with pytest.raises(NotAllowed):
                cases.find(db, people.actors[name], case_id)


def test_received_a_little_ahead_of_this_clock(clinic: Installation, people: People) -> None:
    _enter(clinic, people, GARCIA)
    assert _open(clinic, people, received_at=clock.now() + timedelta(minutes=1)).id
