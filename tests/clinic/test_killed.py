"""Kill -9 of server and workers in the middle of 200 uploads: nothing is lost, nothing is twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sqlalchemy import func, select

from cytolens.clinic.inference.supervisor import Supervisor
from cytolens.clinic.inference.uploads import take
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Finding, Image, Job

UPLOADS = 200


def wait_for(condition: Any, seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def pictures(folder: Path, count: int) -> list[Path]:
    files = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        files.append(folder / f"{number}.png")
        cv2.imwrite(str(files[-1]), pixels)
    return files


def counts(clinic: Installation) -> tuple[int, int]:
    with clinic.reading() as db:
        found = select(func.count())
        images = db.scalar(found.select_from(Image)) or 0
        return images, db.scalar(found.select_from(Finding)) or 0


class Server:
    """The process that uploads, and what it acknowledged."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "uploading_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(content).encode())
        self.process.stdin.close()
        self.acknowledged: list[int] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.acknowledged += json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> None:
        self.process.wait(60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.slow
def test_every_acknowledged_image_has_exactly_one_finding(
    clinic: Installation, people: Any, make: Any, active_bundle: int, tmp_path: Path
) -> None:
    case = make.case()
    files = pictures(tmp_path, UPLOADS)
    content: dict[str, Any] = {
        "data": str(clinic.settings.data),
        "database_url": clinic.settings.database_url,
        "user": people.users["doctor"],
        "sites": [people.sites["one"]],
        "case": case,
        "parts": [[str(file)] for file in files],
    }
    acknowledged: list[int] = []
    with Supervisor(clinic, workers=2) as supervisor:
        for uploaded, found in ((40, 10), (110, 60)):  # where server and a worker are killed
            server = Server(content)
            assert wait_for(lambda n=uploaded: counts(clinic)[0] >= n)
            assert wait_for(lambda n=found: counts(clinic)[1] >= n)
            server.kill()
            worker = next(pid for name, pid in supervisor.pids.items() if "-finding-" in name)
            os.kill(worker, signal.SIGKILL)
            acknowledged += server.acknowledged
            assert server.acknowledged
        # The same files again, some at a time: what is there already is skipped.
        parts = [list(map(str, files[start : start + 10])) for start in range(0, UPLOADS, 10)]
        server = Server(content | {"parts": parts})
        server.wait()
        assert server.process.returncode == 0
        acknowledged += server.acknowledged
        assert wait_for(lambda: counts(clinic)[1] >= UPLOADS)
    with clinic.reading() as db:
        images = list(db.scalars(select(Image.id).where(Image.case_id == case)))
        assert len(images) == UPLOADS and set(acknowledged) <= set(images)
        found_for = list(db.scalars(select(Finding.image_id)))
        assert sorted(found_for) == sorted(images)
        assert set(db.scalars(select(Finding.model_id))) == {active_bundle}
        assert set(db.scalars(select(Finding.problem))) == {""}
        row = db.get_one(Case, case)
        assert (row.images_count, row.pending) == (UPLOADS, 0)
        assert set(db.scalars(select(Job.state))) == {"done"}
        for sha256, thumbnail in db.execute(select(Image.sha256, Image.thumbnail)):
            clinic.blobs.get(sha256)
            clinic.blobs.get(thumbnail)


@pytest.mark.usefixtures("active_bundle")
def test_a_worker_that_dies_is_replaced_and_all_end_with_the_supervisor(
    clinic: Installation, people: Any, make: Any, tmp_path: Path
) -> None:
    if not clinic.database.is_sqlite:
        pytest.skip("what is tested here is processes, not the database")
    case, files = make.case(), pictures(tmp_path, 2)
    with Supervisor(clinic) as supervisor:
        before = supervisor.pids
        assert len(before) == 2  # findings and explanations
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: len(set(supervisor.pids) - set(before)) == 2)
        take(clinic, people.actors["doctor"], case, [(file.name, file) for file in files])
        assert wait_for(lambda: counts(clinic)[1] == 2)
        last = supervisor.pids
    for pid in (*before.values(), *last.values()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_ends_when_whoever_started_it_is_gone(clinic: Installation) -> None:
    if not clinic.database.is_sqlite:
        pytest.skip("what is tested here is processes, not the database")
    from cytolens.clinic.inference.worker import Start

    worker = subprocess.Popen(
        [sys.executable, "-m", "cytolens.clinic.inference.worker"], stdin=subprocess.PIPE
    )
    assert worker.stdin is not None
    worker.stdin.write(Start("alone", "finding", clinic.settings).to_line())
    worker.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1.5)
    worker.stdin.close()
    assert worker.wait(20) == 0
