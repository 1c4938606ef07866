"""What the database folds for a search is what `fold` says, of plain ASCII and of other letters."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from cytolens.clinic import clock
from cytolens.clinic.folding import fold, folded
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Patient

NAMES = (
    "SMITH",
    "Álvarez",
    "o'Neill-50%",
    "Nuñez_É",
    "Ziółkowska",
    "tab\tÀ",
    "",
    " Ngô Đình ",
    "]^[Z*",
)


def test_the_database_folds_as_python_does(clinic: Installation, people: Any) -> None:
    with clinic.writing() as db:
        db.add_all(
            Patient(
                site_id=people.sites["one"],
                number=str(place),
                family_name=name,
                created_at=clock.now(),
            )
            for place, name in enumerate(NAMES)
        )
    with clinic.reading() as db:
        found = db.execute(select(Patient.family_name, folded(Patient.family_name))).all()
    assert len(found) == len(NAMES)
    assert {row[0]: row[1] for row in found} == {name: fold(name) for name in NAMES}


def test_folding() -> None:
    assert [fold(name) for name in NAMES[:4]] == ["smith", "alvarez", "o'neill-50%", "nunez_e"]
    assert fold(None) is None
