"""The queue: every job is done exactly once, whoever is killed and whoever is slow."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from cytolens.bundle import Prediction
from cytolens.bundle.prediction import Strangeness, unusable
from cytolens.clinic import clock
from cytolens.clinic.inference import queue
from cytolens.clinic.inference.findings import finish_findings, give_up, risk
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Entry, Finding, Job

ABNORMAL = ("abnormal",)


def jobs_for(clinic: Installation, images: list[int], specimen: str = "cervix-liquid") -> None:
    with clinic.writing() as db:
        for image in images:
            db.add(Job(image_id=image, specimen=specimen, kind="finding", created_at=clock.now()))


def said(p: float = 0.7, **more: Any) -> Prediction:
    values: dict[str, Any] = {"decision": "abnormal", "classes_in_set": ("abnormal",)}
    return Prediction(
        "", "abnormal", {"normal": 1 - p, "abnormal": p}, level=0.9, **(values | more)
    )


def claim(clinic: Installation, worker: str, limit: int = 32, **more: Any) -> list[queue.Taken]:
    with clinic.writing() as db:
        return queue.claim(db, worker, "finding", limit, "cervix-liquid", **more)


def finish(
    clinic: Installation, worker: str, model: int, jobs: list[queue.Taken], *predictions: Prediction
) -> int:
    with clinic.writing() as db:
        pairs = list(zip(jobs, predictions or [said()] * len(jobs), strict=True))
        return finish_findings(db, worker, model, "0123456789ab", ABNORMAL, pairs)


def states(clinic: Installation) -> list[tuple[str, int]]:
    with clinic.reading() as db:
        return [tuple(row) for row in db.execute(select(Job.state, Job.tries).order_by(Job.id))]


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    moment = clock.now() + timedelta(seconds=seconds)
    monkeypatch.setattr(clock, "now", lambda: moment)


@pytest.mark.parametrize(
    ("prediction", "abnormal", "expected"),
    [
        (said(0.7), ABNORMAL, 0.7),
        (said(0.7, decision="refer"), ABNORMAL, 1.0),
        (said(0.7, decision="clear"), ("normal",), 0.3),
        (said(0.7, decision=None), None, 0.3),
        (unusable("", "broken"), ABNORMAL, 1.0),
    ],
)
def test_risk(prediction: Prediction, abnormal: Any, expected: float) -> None:
    assert risk(prediction, abnormal) == pytest.approx(expected)


def test_a_finding_is_written_with_all_that_follows(clinic: Installation, make: Any) -> None:
    case, model = make.case(), make.model()
    images = [make.image(case) for _ in range(3)]
    jobs_for(clinic, images)
    with clinic.reading() as db:
        revision = db.get_one(Case, case).revision
    [first, second, third] = claim(clinic, "w")
    assert [job.image_id for job in (first, second, third)] == images
    strange = said(0.2, decision="clear", strangeness=Strangeness(0.5, 1.0))
    assert finish(clinic, "w", model, [first, second], strange, said(0.6)) == 2
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        assert (row.pending, row.risk, row.decision) == (1, 0.6, "abnormal")
        assert row.revision == revision
        made = db.scalars(select(Finding).order_by(Finding.image_id)).all()
        assert [one.image_id for one in made] == images[:2]
        assert (made[0].label, made[0].inside, made[0].level) == ("abnormal", ["abnormal"], 0.9)
        assert (made[0].strangeness, made[1].strangeness) == (0.5, None)
        [line] = db.scalars(select(Entry))
        assert (line.action, line.bundle, line.details) == (
            "findings.added", "0123456789ab", {"count": 2},
        )  # fmt: skip
        assert (line.user_id, line.role) == (None, "system")
    finish(clinic, "w", model, [third], said(0.1, decision="refer", reasons=("dark",)))
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        assert (row.pending, row.risk, row.decision) == (0, 1.0, "refer")
    assert states(clinic) == [("done", 1)] * 3
    assert claim(clinic, "w") == []


def test_a_broken_image_fails_alone_and_goes_to_the_doctor(clinic: Installation, make: Any) -> None:
    case, model = make.case(), make.model()
    jobs_for(clinic, [make.image(case), make.image(case)])
    finish(clinic, "w", model, claim(clinic, "w"), unusable("", "its blob is gone"), said(0.4))
    assert states(clinic) == [("failed", 1), ("done", 1)]
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        assert (row.pending, row.risk, row.decision) == (0, 1.0, "refer")
        [broken, _] = db.scalars(select(Finding).order_by(Finding.image_id))
        assert (broken.problem, broken.label, broken.decision) == (
            "its blob is gone",
            None,
            "refer",
        )
        assert broken.reasons == ["it was not analysed"]


def test_many_claimers_take_each_job_once(clinic: Installation, make: Any) -> None:
    case, model = make.case(), make.model()
    images = [make.image(case) for _ in range(60)]
    jobs_for(clinic, images)
    taken: dict[str, list[int]] = {f"w{n}": [] for n in range(4)}
    problems: list[BaseException] = []

    def work(worker: str) -> None:
        try:
            while jobs := claim(clinic, worker, 7):
                taken[worker] += [job.image_id for job in jobs]
                assert finish(clinic, worker, model, jobs) == len(jobs)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert sorted(image for own in taken.values() for image in own) == images
    with clinic.reading() as db:
        assert db.scalar(select(func.count()).select_from(Finding)) == 60
        assert db.get_one(Case, case).pending == 0


def test_an_expired_lease_is_taken_over_and_the_late_one_is_dropped(
    clinic: Installation, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, model = make.case(), make.model()
    jobs_for(clinic, [make.image(case)])
    slow = claim(clinic, "slow")
    assert claim(clinic, "other") == []
    later(monkeypatch, 59)
    with clinic.writing() as db:
        assert not queue.any_expired(db) and give_up(db) == 0
    assert claim(clinic, "other") == []
    later(monkeypatch, 2)
    with clinic.writing() as db:
        assert queue.any_expired(db) and give_up(db) == 0
    [job] = claim(clinic, "other")
    assert (job.id, job.tries) == (slow[0].id, 2)
    assert finish(clinic, "slow", model, slow, said(0.1)) == 0
    assert finish(clinic, "other", model, [job], said(0.8)) == 1
    assert finish(clinic, "slow", model, slow, said(0.1)) == 0
    with clinic.reading() as db:
        [finding] = db.scalars(select(Finding))
        assert finding.probabilities["abnormal"] == 0.8
        assert db.get_one(Case, case).pending == 0


def test_a_lease_that_is_renewed_stays(
    clinic: Installation, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs_for(clinic, [make.image(make.case())])
    make.model()
    claim(clinic, "w")
    later(monkeypatch, 50)
    with clinic.writing() as db:
        queue.renew(db, "w")
        queue.renew(db, "somebody else")
    later(monkeypatch, 50)
    with clinic.writing() as db:
        give_up(db)
    assert states(clinic) == [("running", 1)]


def test_what_was_taken_before_is_taken_alone(clinic: Installation, make: Any) -> None:
    case = make.case()
    jobs_for(clinic, [make.image(case) for _ in range(5)])
    assert len(claim(clinic, "w", 3)) == 3
    with clinic.writing() as db:
        assert queue.give_back(db, "w") == 3
    assert states(clinic) == [("waiting", 1)] * 3 + [("waiting", 0)] * 2
    assert claim(clinic, "x", fresh=True) == []
    assert [len(claim(clinic, "x")) for _ in range(4)] == [1, 1, 1, 2]


def test_what_was_not_begun_is_given_back_untried(clinic: Installation, make: Any) -> None:
    jobs_for(clinic, [make.image(make.case())])
    claim(clinic, "w")
    with clinic.writing() as db:
        assert queue.give_back(db, "w", tried=False) == 1
    assert states(clinic) == [("waiting", 0)]


def test_a_job_that_never_ends_is_given_up_and_the_case_shows_it(
    clinic: Installation, make: Any
) -> None:
    case = make.case()
    jobs_for(clinic, [make.image(case)])
    for _ in range(3):
        assert len(claim(clinic, "w")) == 1
        with clinic.writing() as db:
            queue.give_back(db, "w")
    assert claim(clinic, "w") == []
    with clinic.writing() as db:
        assert give_up(db) == 0  # no bundle that could have made it
    make.model()
    with clinic.writing() as db:
        assert give_up(db) == 1
    with clinic.writing() as db:
        assert give_up(db) == 0
    assert states(clinic) == [("failed", 3)]
    with clinic.reading() as db:
        [finding] = db.scalars(select(Finding))
        assert finding.problem == queue.GAVE_UP
        row = db.get_one(Case, case)
        assert (row.pending, row.risk, row.decision) == (0, 1.0, "refer")
        assert db.scalars(select(Job.problem)).all() == [queue.GAVE_UP]


def test_findings_raise_no_revision_but_a_doctor_in_between_is_kept(
    clinic: Installation, make: Any
) -> None:
    case, model = make.case(), make.model()
    jobs_for(clinic, [make.image(case)])
    jobs = claim(clinic, "w")
    with clinic.writing() as db:
        db.get_one(Case, case).clinical = "asked for"
    finish(clinic, "w", model, jobs)
    with clinic.writing() as db:
        row = db.get_one(Case, case)
        row.adequacy = "satisfactory"
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        assert (row.clinical, row.adequacy, row.pending) == ("asked for", "satisfactory", 0)


def test_bundles_with_work_come_first_the_oldest_before_others(
    clinic: Installation, make: Any
) -> None:
    liquid, blood = make.case(), make.case(specimen="blood-smear")
    make.model()
    make.model("blood-smear", "ba9876543210")
    with clinic.reading() as db:
        assert [(one.specimen, one.first) for one in queue.active(db)] == [
            ("cervix-liquid", None), ("blood-smear", None),
        ]  # fmt: skip
    jobs_for(clinic, [make.image(blood)], "blood-smear")
    jobs_for(clinic, [make.image(liquid)])
    jobs_for(clinic, [make.image(liquid)], "breast-core")
    with clinic.reading() as db:
        assert [one.specimen for one in queue.active(db)] == ["blood-smear", "cervix-liquid"]
        assert queue.waits(db, "finding") and not queue.waits(db, "explanation")


def test_looking_for_work_uses_the_index(clinic: Installation) -> None:
    if not clinic.database.is_sqlite:
        pytest.skip("the plan of PostgreSQL depends on how many rows there are")
    with clinic.reading() as db:
        plan = db.connection().exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT min(id) FROM job "
            "WHERE state = 'waiting' AND kind = 'finding' AND specimen = 'x'"
        )
        assert any("ix_job_next (state=? AND kind=? AND specimen=?)" in row[3] for row in plan)


def test_the_worst_decision_of_a_case_stays(clinic: Installation, make: Any) -> None:
    case, model = make.case(), make.model()
    jobs_for(clinic, [make.image(case) for _ in range(2)])
    [first, second] = claim(clinic, "w")
    finish(clinic, "w", model, [first], said(0.9))
    finish(clinic, "w", model, [second], said(0.1, decision=None))
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        assert (row.risk, row.decision) == (0.9, "abnormal")
