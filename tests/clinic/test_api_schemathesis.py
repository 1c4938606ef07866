"""The interface for machines against its own description: whatever is sent, no answer is a 5xx."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.clinic.conftest import Maker, People

from cytolens.clinic import clock
from cytolens.clinic.accounts import tokens
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Role
from cytolens.clinic.tables import Case, QualityDraw, Reading
from cytolens.clinic.web.app import create_app
from cytolens.clinic.web.limits import RATES, Limits, Rate

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 3  # of an operation, and as many that do not fit its description
FITTING, UNFITTING = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
ONCE = settings(
    max_examples=1,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

OFTEN = settings(ONCE, max_examples=EXAMPLES)


@pytest.fixture
def known(clinic: Installation, people: People, make: Maker) -> dict[str, int]:
    """An object of each kind that the path parameters name, at the doctor's site."""
    model = make.model()
    case, drawn = make.case(), make.case(status="final", signed_at=clock.now())
    image = make.image(case, model)
    make.image(drawn, model, 0.1)
    with clinic.writing() as db:
        readings = [
            Reading(
                case_id=of,
                doctor_id=people.users[who],
                category="NILM",
                verdict="agree",
                blind=False,
                created_at=clock.now(),
            )
            for of, who in ((case, "doctor"), (drawn, "second_doctor"))
        ]
        draw = QualityDraw(case_id=drawn, period="2026-11", drawn_at=clock.now())
        db.add_all([*readings, draw])
        db.flush()
        patient = db.get_one(Case, case).patient_id
        return {
            "case_id": case,
            "image_id": image,
            "patient_id": patient,
            "draw_id": draw.id,
            "model_id": model,
            "user_id": people.users["second_doctor"],
            "site_id": people.sites["two"],
        }


def _aimed(case: Any, known: dict[str, int], revision: int) -> None:
    """Let half of the requests concern objects that there are, as they are now."""
    for name, value in case.path_parameters.items():
        if name in known and (name == "token_id" or (isinstance(value, int) and value % 2)):
            case.path_parameters[name] = known[name]
    if isinstance(case.body, dict) and isinstance(case.body.get("revision"), int):
        case.body["revision"] = revision


@pytest.mark.parametrize("role", Role)
def test_every_answer_is_one_that_the_description_names(
    clinic: Installation, people: People, known: dict[str, int], role: Role
) -> None:
    app = create_app(clinic)
    app.state.limits = Limits(dict.fromkeys(RATES, Rate(1e9, 1e9)))
    actor = people.actors[role]
    with clinic.writing() as db:
        token = tokens.issue(db, actor, "tests")
        tokens.issue(db, actor, "to be revoked")
        known["token_id"] = tokens.list_tokens(db, actor)[0].id
    headers = {"Authorization": f"Bearer {token}", "Host": "127.0.0.1"}
    answered: dict[str, Counter[int]] = {}
    forbidden: set[str] = set()

    def check(case: Any) -> None:
        statuses = answered.setdefault(case.operation.label, Counter())
        with clinic.reading() as db:
            revision = db.get_one(Case, known["case_id"]).revision
        _aimed(case, known, revision)
        response = case.call(app=app, headers=headers)
        case.validate_response(response, checks=CHECKS)
        statuses[response.status_code] += 1
        if response.status_code == 403 and "does not include" in response.json()["what"]:
            forbidden.add(case.operation.label)  # the matrix says whether that is right

    described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers)
    for found in described.get_all_operations():
        for mode, often in ((FITTING, ONCE), (FITTING, OFTEN), (UNFITTING, OFTEN)):
            operation = found.ok()
            if operation.label not in forbidden:
                often(given(case=operation.as_strategy(generation_mode=mode))(check))()
    seen = sum(answered.values(), Counter[int]())
    assert not seen[401]
    assert {200, 403, 404, 422} <= seen.keys()
