"""A store that is away, a server that ends: no image is given up for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.clinic.conftest import Maker

from cytolens.clinic import clock
from cytolens.clinic.backup import back_up
from cytolens.clinic.blobs import BlobProblem, StoreAway
from cytolens.clinic.inference import loop, queue
from cytolens.clinic.inference.analysis import Analyst
from cytolens.clinic.inference.explainer import Explainer
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.inference.supervisor import Supervisor
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Finding, Job
from cytolens.core.progress import Silent


def away(sha256: str) -> bytes:
    raise StoreAway(f"{sha256} cannot be read, the store cannot be reached")


@pytest.fixture
def waiting(clinic: Installation, make: Maker, active_bundle: int) -> int:
    """An image that waits for its finding."""
    del active_bundle
    case = make.case(images_count=1, pending=1)
    image = make.image(case)
    with clinic.writing() as db:
        specimen = db.get_one(Case, case).specimen
        db.add(Job(image_id=image, specimen=specimen, kind="finding", created_at=clock.now()))
    return image


def test_a_finding_waits_for_the_store(
    clinic: Installation, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_AFTER_ERROR", 0.01)
    kept, looked = clinic.blobs.get, 0

    monkeypatch.setattr(clinic.blobs, "get", away)
    working = Loop(clinic, "w", threading.Event())
    analyst = Analyst(working)

    def step() -> bool:
        nonlocal looked
        looked += 1
        if looked == queue.TRIES + 2:
            monkeypatch.setattr(clinic.blobs, "get", kept)
            working.stop.set()
        return analyst.step()

    working.run(step)
    working.stop.clear()
    while analyst.step():
        pass
    with clinic.reading() as db:
        finding = db.scalars(select(Finding).where(Finding.image_id == waiting)).one()
        assert finding.problem == "" and finding.label is not None
        assert db.scalars(select(Job)).one().state == "done"


def test_an_explanation_waits_for_the_store(
    clinic: Installation, make: Maker, active_bundle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make.case()
    image = make.image(case, active_bundle)
    with clinic.writing() as db:
        specimen = db.get_one(Case, case).specimen
        db.add(
            Job(
                image_id=image, specimen=specimen, kind="explanation", method="grad_cam",
                created_at=clock.now(),
            )
        )  # fmt: skip

    monkeypatch.setattr(clinic.blobs, "get", away)
    with pytest.raises(StoreAway):
        Explainer(Loop(clinic, "w", threading.Event())).step()
    with clinic.reading() as db:
        assert db.scalars(select(Job)).one().state == "running"


def test_no_backup_calls_blobs_missing_that_cannot_be_asked_for(
    clinic: Installation, make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.image(make.case())
    monkeypatch.setattr(clinic.blobs, "get", away)
    saved = tmp_path / "saved.tar"
    with pytest.raises(StoreAway):
        back_up(clinic, saved, with_secret=False, progress=Silent())
    assert not saved.exists() and not list(tmp_path.glob("saved*"))


def test_a_store_that_is_away_is_a_problem_of_blobs() -> None:
    assert issubclass(StoreAway, BlobProblem)


def test_the_server_s_end_is_no_try_of_an_image(clinic: Installation, waiting: int) -> None:
    """An image in work at three restarts is not given up."""
    for _ in range(queue.TRIES + 1):
        stop, taken = threading.Event(), []

        def step(stop: threading.Event = stop, taken: list[int] = taken) -> bool:
            stop.set()
            with clinic.writing() as db:
                taken += [job.image_id for job in queue.claim(db, "w", queue.FINDING)]
            return True

        Loop(clinic, "w", stop).run(step)
        assert taken == [waiting]
    with clinic.reading() as db:
        job = db.scalars(select(Job)).one()
        assert (job.state, job.tries) == ("waiting", 0)
    supervisor = Supervisor(clinic, workers=1)
    place = supervisor._places[0]
    place.name = "killed"
    place.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with clinic.writing() as db:
        queue.claim(db, "killed", queue.FINDING)
    supervisor._end(place, until=0.0)
    with clinic.reading() as db:
        job = db.scalars(select(Job)).one()
        assert (job.state, job.tries) == ("waiting", 0)
