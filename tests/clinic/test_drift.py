"""Drift: the measures against closed forms, shifts that are found, chance that is not."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.stats import ks_2samp
from sqlalchemy import insert
from tests.clinic.tampering import unguarded

from cytolens.clinic import clock
from cytolens.clinic.errors import NotAllowed
from cytolens.clinic.installation import Installation
from cytolens.clinic.oversight.drift import FIRST, BundleDrift, drift, judge_scores
from cytolens.clinic.oversight.period import Period, period
from cytolens.clinic.oversight.stability import ks, ks_noise, psi, psi_noise
from cytolens.clinic.tables import Case, Finding, Image, Model, Patient

sys.path.append(str(Path(__file__).parent))


def test_psi_is_its_sum() -> None:
    before = np.repeat([0.05, 0.95], [80, 20])
    now = np.repeat([0.05, 0.95], [50, 50])
    # the deciles of the reference leave bins below .05, from .05 to .95, and above
    edges = np.unique(np.quantile(before, np.arange(1, 10) / 10))
    expected = 0.0
    for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
        e = (((before >= low) & (before < high)).sum() + 0.5) / (100 + 0.5 * (len(edges) + 1))
        a = (((now >= low) & (now < high)).sum() + 0.5) / (100 + 0.5 * (len(edges) + 1))
        expected += (a - e) * math.log(a / e)
    assert psi(before, now) == pytest.approx(expected)
    assert psi(before, before) == 0.0


def test_psi_of_many_numbers_nears_the_closed_form() -> None:
    """Two normal distributions a distance d apart: the index of fine bins nears d²."""
    drawn = np.random.default_rng(0)
    found = psi(drawn.normal(0, 1, 200_000), drawn.normal(0.5, 1, 200_000), bins=200)
    assert found == pytest.approx(0.25, abs=0.02)


def test_psi_of_a_constant_reference_sees_what_lies_below() -> None:
    assert psi(np.ones(50), np.ones(70)) < 0.01
    assert psi(np.ones(50), np.zeros(70)) > 1


def test_ks_is_that_of_scipy() -> None:
    drawn = np.random.default_rng(1)
    before, now = drawn.normal(size=300), drawn.normal(0.3, 1, 200).round(1)
    assert ks(before, now) == pytest.approx(ks_2samp(before, now).statistic)
    assert ks([1, 2], [1, 2]) == 0 and ks([1, 2], [3, 4]) == 1


def test_noise_is_passed_by_one_in_a_hundred() -> None:
    drawn = np.random.default_rng(2)
    over_psi = over_ks = 0
    for _ in range(600):
        before, now = drawn.random(400), drawn.random(300)
        over_psi += psi(before, now) > psi_noise(400, 300)
        over_ks += ks(before, now) > ks_noise(400, 300)
    assert over_psi <= 18 and over_ks <= 18  # 6 expected


@pytest.mark.parametrize(
    "numbers, said",
    [
        ((0.5, 0.1, 0.5, 0.1, 29), "few"),
        ((0.5, 0.1, 0.0, 0.1, 30), "shifted"),
        ((0.5, 0.6, 0.0, 0.1, 30), "stable"),
        ((0.2, 0.1, 0.0, 0.1, 30), "watch"),
        ((0.05, 0.01, 0.2, 0.1, 30), "watch"),
        ((0.05, 0.01, 0.09, 0.01, 30), "stable"),
    ],
)
def test_the_verdict_on_scores(numbers: Any, said: str) -> None:
    assert judge_scores(*numbers) == said


@pytest.fixture
def fill(clinic: Installation, people: Any) -> Callable[..., None]:
    """Add cases of ten images with findings of a bundle, one case an hour."""

    def fill(
        model: int,
        risks: Any,
        start: datetime,
        site: str = "one",
        strangeness: Any = None,
        **more: Any,
    ) -> None:
        risks = np.asarray(risks, np.float64)
        odd = np.full(len(risks), 0.5) if strangeness is None else np.asarray(strangeness)
        with clinic.writing() as db:
            patient = Patient(
                site_id=people.sites[site],
                number=f"{model} {start}",
                family_name="F",
                created_at=start,
            )
            db.add(patient)
            db.flush()
            for first in range(0, len(risks), 10):
                at = start + timedelta(hours=first / 10)
                case = Case(
                    site_id=patient.site_id, patient_id=patient.id, specimen="cervix-liquid",
                    accession=f"{model} {start} {first}", received_at=at, created_at=at,
                )  # fmt: skip
                db.add(case)
                db.flush()
                for row in range(first, min(first + 10, len(risks))):
                    image = Image(
                        case_id=case.id, sha256=f"{row:064d}", thumbnail="0" * 64, name="a",
                        width=1, height=1, uploaded_at=at,
                    )  # fmt: skip
                    db.add(image)
                    db.flush()
                    values = {
                        "label": "a", "probabilities": {}, "inside": [], "decision": "clear",
                        "reasons": [], "strangeness": float(odd[row]), "risk": float(risks[row]),
                        "problem": "", "created_at": at,
                    } | more  # fmt: skip
                    db.execute(insert(Finding).values(image_id=image.id, model_id=model, **values))

    return fill


START = datetime(2026, 9, 7, 1, tzinfo=UTC)  # a Monday
MONTHS = Period(START.date(), START.date() + timedelta(days=80))


def _drift(clinic: Installation, people: Any, name: str = "director") -> list[BundleDrift]:
    with clinic.reading() as db:
        return drift(db, people.actors[name], MONTHS)


def test_a_shift_is_told_and_chance_is_not(
    clinic: Installation, people: Any, make: Any, fill: Callable[..., None]
) -> None:
    drawn = np.random.default_rng(5)
    model = make.model()
    fill(model, drawn.beta(2, 5, FIRST), START)
    fill(model, drawn.beta(2, 5, 400), START + timedelta(days=20))
    [same] = _drift(clinic, people)
    assert (same.scores, same.inputs) == ("stable", "stable")
    assert (same.reference, same.images, same.cases) == (FIRST, 400, 40)
    assert same.psi is not None and same.psi < 0.1
    assert sum(same.before) == pytest.approx(1) and sum(same.now) == pytest.approx(1)
    fill(model, drawn.beta(5, 2, 600), START + timedelta(days=40))
    [moved] = _drift(clinic, people)
    assert moved.scores == "shifted"
    assert moved.weeks[0].start == START.date() and moved.weeks[0].images == FIRST
    assert moved.weeks[0].psi == pytest.approx(0, abs=1e-9)
    assert moved.weeks[-1].psi is not None and moved.weeks[-1].psi > 0.25


def test_strange_images_are_told(
    clinic: Installation, people: Any, make: Any, fill: Callable[..., None]
) -> None:
    model = make.model()
    with clinic.writing() as db, unguarded(db):
        row = db.get_one(Model, model)
        row.card = row.card | {"ood": {"accepts": {"value": 0.95, "low": 0.9, "high": 0.98}}}
    fill(model, np.full(FIRST, 0.2), START)
    usual = np.where(np.arange(400) % 20 == 0, 1.5, 0.5)  # 5 %
    fill(model, np.full(400, 0.2), START + timedelta(days=20), strangeness=usual)
    [fine] = _drift(clinic, people)
    assert (fine.inputs, fine.expected_by) == ("stable", "bundle")
    assert fine.out == pytest.approx(0.05) and fine.expected_out == pytest.approx(0.1)
    blurred = np.full(300, 2.0)
    fill(model, np.full(300, 0.2), START + timedelta(days=40), strangeness=blurred)
    [strange] = _drift(clinic, people)
    assert strange.inputs == "shifted" and strange.scores == "stable"
    assert strange.weeks[-1].out == 1.0 and strange.weeks[-1].strangeness == 2.0


def test_few_cases_and_unusable_images(
    clinic: Installation, people: Any, make: Any, fill: Callable[..., None]
) -> None:
    model = make.model()
    fill(model, [0.5] * 10, START)
    fill(model, [1.0] * 10, START + timedelta(days=1), problem="cannot be read", decision="refer")
    [found] = _drift(clinic, people)
    assert (found.scores, found.psi, found.out) == ("few", None, None)  # all are the reference
    assert (found.weeks[0].images, found.weeks[0].cases) == (20, 2)
    assert (found.weeks[0].unusable, found.weeks[0].referred) == (0.5, 0.5)


def test_each_bundle_for_itself_and_nothing_of_other_sites(
    clinic: Installation, people: Any, make: Any, fill: Callable[..., None]
) -> None:
    first, second = make.model(), make.model("blood-smear", "f" * 12)
    fill(first, [0.2] * 20, START)
    fill(second, [0.7] * 30, START)
    fill(second, [0.7] * 40, START, site="two")
    by_bundle = {d.bundle: d for d in _drift(clinic, people)}
    assert {b: d.weeks[0].images for b, d in by_bundle.items()} == {
        "0123456789ab": 20,
        "f" * 12: 30,
    }
    with pytest.raises(NotAllowed):
        _drift(clinic, people, "doctor")


def test_the_page(
    make: Any,
    fill: Callable[..., None],
    browser: Callable[[str | None], TestClient],
) -> None:
    client = browser("director")
    assert "No finding was made in this period" in client.get("/drift").text
    fill(make.model(), np.linspace(0, 1, 40), clock.now() - timedelta(days=3))
    week = period(clock.now().date() - timedelta(days=7))
    shown = client.get(f"/drift?since={week.first}&until={week.last}").text
    assert "too few cases to tell" in shown and "0123456789ab" in shown
    assert "<svg" in shown and 'style="' not in shown
    assert "No finding" in client.get("/drift").text  # remembered for some minutes
