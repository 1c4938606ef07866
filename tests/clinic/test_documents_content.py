"""What a report says: plain data there and back, its hash, what is composed of a case's rows."""

from __future__ import annotations

import dataclasses
import json

import pytest
from tests.clinic.conftest import Maker, People
from tests.clinic.report_samples import sample
from tests.clinic.tampering import unguarded

from cytolens.clinic import clock
from cytolens.clinic.documents.changes import changes
from cytolens.clinic.documents.compose import compose
from cytolens.clinic.documents.content import Change, Person, ReportContent, Word
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Image, Model, Overlay, Reading, User
from cytolens.core.errors import InputError


@pytest.mark.parametrize("status", ["preliminary", "final", "amended"])
def test_content_survives_json(status: str) -> None:
    content, _ = sample(status)
    again = ReportContent.from_json(json.loads(json.dumps(content.to_json())))
    assert again == content
    assert again.sha256 == content.sha256
    assert content.signed == (status != "preliminary")


def test_every_word_changes_the_hash() -> None:
    content, _ = sample()
    other = dataclasses.replace(
        content, diagnosis=dataclasses.replace(content.diagnosis, comment="Syncytial groups.")
    )
    assert other.sha256 != content.sha256


def test_unknown_fields_are_refused() -> None:
    content, _ = sample()
    with pytest.raises(InputError, match="surplus: unknown key"):
        ReportContent.from_json(content.to_json() | {"surplus": 1})


def test_changes_name_what_is_different() -> None:
    before, _ = sample()
    after = dataclasses.replace(
        before,
        patient=dataclasses.replace(before.patient, birth_date="1980-03-02"),
        diagnosis=dataclasses.replace(
            before.diagnosis, category=Word("LSIL", "Low-grade squamous intraepithelial lesion")
        ),
    )
    assert changes(before, before) == ()
    assert changes(before, after) == (
        Change("Date of birth", "1980-02-03", "1980-03-02"),
        Change(
            "Category",
            "HSIL: High-grade squamous intraepithelial lesion",
            "LSIL: Low-grade squamous intraepithelial lesion",
        ),
    )


def _read(clinic: Installation, people: People, case: int, category: str = "HSIL") -> None:
    with clinic.writing() as db:
        db.add(
            Reading(
                case_id=case,
                doctor_id=people.users["doctor"],
                category=category,
                verdict="agree",
                blind=False,
                decision="abnormal",
                created_at=clock.now(),
            )
        )


def _composed(clinic: Installation, people: People, case_id: int) -> ReportContent:
    with clinic.reading() as db:
        case = db.get_one(Case, case_id)
        doctor = db.get_one(User, people.users["doctor"])
        return compose(
            db,
            case,
            case.readings[-1],
            doctor,
            status="final",
            version=1,
            at=clock.now(),
            language="xx",
        )


def test_a_case_becomes_a_content(clinic: Installation, people: People, make: Maker) -> None:
    model = make.model()
    case = make.case(
        adequacy="satisfactory", indicators=["blood", "few-cells"], clinical="History", blind=True
    )
    kept = [make.image(case, model, risk) for risk in (0.2, 0.95, 0.6, 0.7, 0.8)]
    make.image(case)  # waits for its finding
    broken = make.image(
        case, model, 0.9, label=None, probabilities={}, inside=[], level=None, decision=None,
        risk=0.9, problem="is blank", strangeness=None,
    )  # fmt: skip
    _read(clinic, people, case)
    with clinic.writing() as db:
        for notes, name in ((["the map is empty"], "a"), ([], "b"), ([], "c")):
            db.add(
                Overlay(
                    image_id=kept[1],
                    model_id=model,
                    method=f"method_{name}",
                    target="abnormal",
                    overlay=name * 64,
                    raw="d" * 64,
                    notes=notes,
                    created_at=clock.now(),
                )
            )
    content = _composed(clinic, people, case)
    assert [picture.image for picture in content.pictures] == [kept[1], broken, kept[4], kept[3]]
    assert content.pictures[0].probability == pytest.approx(0.95)
    assert content.pictures[0].overlay is not None
    assert content.pictures[0].overlay.method == "method_b"  # the first without a warning
    assert content.pictures[1].problem == "is blank"
    assert content.pictures[1].probability is None
    system = content.system
    assert (system.images, system.clear, system.abnormal, system.refer) == (7, 1, 4, 0)
    assert (system.undecided, system.pending) == (1, 1)
    assert content.patient == Person("P1", "Family1", "Given", "1980-01-01", "female")
    assert [word.code for word in content.quality.indicators] == ["blood", "few-cells"]
    assert content.quality.adequacy == Word("satisfactory", "Satisfactory for evaluation")
    assert content.language == "en"
    assert content.doctor.signed_at == content.created_at
    assert "not a diagnosis" in content.disclaimer
    assert ReportContent.from_json(content.to_json()) == content


def test_removed_images_are_counted_and_not_shown(
    clinic: Installation, people: People, make: Maker
) -> None:
    model, case = make.model(), make.case()
    first, second = make.image(case, model, 0.9), make.image(case, model, 0.1)
    _read(clinic, people, case)
    with clinic.writing() as db:
        db.get_one(Image, first).removed_at = clock.now()
    content = _composed(clinic, people, case)
    assert [picture.image for picture in content.pictures] == [second]
    assert content.system.images == 2


def test_limits_are_those_of_the_card(clinic: Installation, people: People, make: Maker) -> None:
    model, case = make.model(), make.case()
    make.image(case, model, 0.9)
    _read(clinic, people, case)
    bare = _composed(clinic, people, case).models[0]
    assert (bare.images, bare.scores, bare.calibrated, bare.data) == (None, (), False, "")
    with clinic.writing() as db, unguarded(db):
        db.get_one(Model, model).card = {
            "classes": ["normal", "abnormal"],
            "files": {"model.safetensors": "f" * 64},
            "calibration": {"method": "temperature"},
            "conformal": {"level": 0.9, "results": {"coverage": {"value": 0.91}}},
            "decision": {"abnormal": ["abnormal"]},
            "provenance": {"data": "phantoms", "protocol": "honest", "notes": ["no subgroups"]},
            "metrics": {
                "n": 600,
                "accuracy": {"value": 0.9, "low": 0.88, "high": 0.92},
                "auc": {"value": None},
                "interval": {"unit": "group", "units": 120, "level": 0.95},
                "leaks": ["1 image on both sides"],
            },
        }
    full = _composed(clinic, people, case).models[0]
    assert full.weights == "f" * 64
    assert full.calibrated
    assert (full.images, full.groups, full.unit, full.level_scores) == (600, 120, "group", 0.95)
    assert [(score.name, score.value, score.low) for score in full.scores] == [
        ("Accuracy", 0.9, 0.88),
        ("Coverage of the sets of classes", 0.91, None),
    ]
    assert full.leaks == ("1 image on both sides",)
    assert full.notes == ("no subgroups",)
    assert full.abnormal == ("abnormal",)
