"""How fast the clinic makes findings: one image at rest, and 500 images of a case.

    python benchmarks/clinic_inference.py [BUNDLE] [--images FOLDER] [--database-url URL]

Prints, of one installation with one worker: seconds from the start of an upload to its finding,
images at rest one after another (median and 95th percentile); images a second of the queue when 500
images of a case wait; of uploading them; and of both at once; against the rate at which the same
bundle predicts the same images from memory, without database, blobs or audit log. Without a bundle
a small network with a random head is made.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from cytolens.bundle import Bundle, bundle_id, load_bundle
from cytolens.clinic import clock, migrations
from cytolens.clinic.actor import Actor
from cytolens.clinic.database import Database
from cytolens.clinic.inference.supervisor import Supervisor
from cytolens.clinic.inference.uploads import take
from cytolens.clinic.installation import Installation, open_installation
from cytolens.clinic.rights import Role
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Case, Finding, Model, Patient, Site, User
from cytolens.core.files import read_json

SPECIMEN = "cervix-liquid"
File = tuple[str, Path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--images", type=Path, help="folder of images; else noise of 300 x 300")
    parser.add_argument("--database-url", default="")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--single", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = given.bundle or tiny_bundle(folder / "tiny")
        files = pictures(folder / "images", given.images, given.count + given.single)
        clinic, doctor = installation(folder / "data", given.database_url, bundle)
        try:
            measure(clinic, doctor, load_bundle(bundle), files, given.single)
        finally:
            clinic.close()


def measure(
    clinic: Installation, doctor: Actor, bundle: Bundle, files: Sequence[File], single: int
) -> None:
    """Measure everything and print it."""
    alone, many = files[:single], files[single:]
    images = [read(path) for _, path in many]
    rate_of(bundle, images[:64])  # compiled
    raw = Raw(bundle, images)
    with Supervisor(clinic):
        case = new_case(clinic)
        take(clinic, doctor, case, alone[:1])
        wait_for(lambda: pending(clinic, case) == 0)
        seconds = []
        for file in alone[1:]:
            started = time.perf_counter()
            take(clinic, doctor, case, [file])
            taken = time.perf_counter() - started
            wait_for(lambda: pending(clinic, case) == 0, every=0.005)
            seconds.append((taken, time.perf_counter() - started))
            time.sleep(0.7)  # the worker rests at its longest
        for name, values in zip(
            ("upload", "upload to finding"), zip(*seconds, strict=True), strict=True
        ):
            middle, slow = np.quantile(values, [0.5, 0.95])
            say(f"one image, {name}", f"median {middle:.3f} s, p95 {slow:.3f} s")
        both = new_case(clinic)
        started = time.perf_counter()
        take(clinic, doctor, both, many)
        wait_for(lambda: pending(clinic, both) == 0)
        raw.share(f"{len(many)} images, upload and findings", len(many), started)
    waiting = new_case(clinic)
    started = time.perf_counter()
    take(clinic, doctor, waiting, many)
    raw.share(f"{len(many)} images, upload alone", len(many), started)
    with Supervisor(clinic):
        wait_for(lambda: pending(clinic, waiting) < len(many))
        first, started = len(many) - pending(clinic, waiting), time.perf_counter()
        wait_for(lambda: pending(clinic, waiting) == 0)
        raw.share(f"{len(many)} images, findings alone", len(many) - first, started)
    with clinic.reading() as db:
        say("findings", str(db.scalar(select(func.count()).select_from(Finding))))


def rate_of(bundle: Bundle, images: Sequence[NDArray[np.uint8]]) -> float:
    """Return how many images a second a bundle predicts that are in memory."""
    started = time.perf_counter()
    list(bundle.predict_sources([("", lambda image=image: image) for image in images]))
    return len(images) / (time.perf_counter() - started)


class Raw:
    """The rate of the bundle alone, measured before and after whatever is held against it."""

    def __init__(self, bundle: Bundle, images: Sequence[NDArray[np.uint8]]) -> None:
        self._bundle, self._images = bundle, images
        self._before = rate_of(bundle, images)

    def share(self, what: str, count: int, started: float) -> None:
        rate = count / (time.perf_counter() - started)
        after = rate_of(self._bundle, self._images)
        raw, self._before = (self._before + after) / 2, after
        say(what, f"{rate:.1f} images/s, {rate / raw:.0%} of the bundle's {raw:.1f}")


def say(what: str, value: str) -> None:
    sys.stdout.write(f"{what:<36}{value}\n")
    sys.stdout.flush()


def wait_for(condition: Callable[[], bool], every: float = 0.02) -> None:
    until = time.monotonic() + 300
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("nothing comes any more")
        time.sleep(every)


def pending(clinic: Installation, case: int) -> int:
    with clinic.reading() as db:
        return db.scalars(select(Case.pending).where(Case.id == case)).one()


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def pictures(target: Path, source: Path | None, count: int) -> list[File]:
    """Return image files: of a folder, drawn, or made of noise."""
    if source is not None:
        kinds = {".png", ".jpg", ".jpeg", ".bmp", ".tif"}
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in kinds)
        drawn = np.random.default_rng(0).permutation(len(found))[:count]
        return [(found[i].name, found[i]) for i in drawn]
    target.mkdir()
    files = []
    for number in range(count):
        drawn = np.random.default_rng(number)
        coarse = drawn.integers(0, 256, (30, 30, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (300, 300), interpolation=cv2.INTER_CUBIC)
        path = target / f"{number}.jpg"
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])
        files.append((path.name, path))
    return files


def tiny_bundle(folder: Path) -> Path:
    sys.path.append(str(Path(__file__).parent.parent / "tests" / "bundle"))
    from random_bundle import write_random_bundle

    from cytolens.bundle.export import export_bundle

    write_random_bundle(folder)
    export_bundle(folder, "openvino")
    return folder


def installation(data: Path, url: str, bundle: Path) -> tuple[Installation, Actor]:
    """Return a new installation with one site, one doctor and an active bundle."""
    settings = Settings(data, database_url=url)
    data.mkdir()
    database = Database(settings.database)
    migrations.upgrade(database)
    database.close()
    clinic, name = open_installation(settings), bundle_id(bundle)
    shutil.copytree(bundle, settings.bundles / name)
    with clinic.writing() as db:
        site = Site(code="ONE", name="One", created_at=clock.now())
        user = User(
            username="doctor", name="Doctor", role="doctor", sites=[site], created_at=clock.now()
        )
        model: dict[str, Any] = {"card": read_json(bundle / "bundle.json", "bundle")}
        db.add_all([site, user])
        db.add(
            Model(
                bundle=name,
                name="bundle",
                version="1.0.0",
                specimen=SPECIMEN,
                status="active",
                uploaded_at=clock.now(),
                activated_at=clock.now(),
                **model,
            )
        )
        db.flush()
        return clinic, Actor(user.id, "doctor", Role.DOCTOR, frozenset({site.id}))


def new_case(clinic: Installation) -> int:
    with clinic.writing() as db:
        number = (db.scalar(select(func.count()).select_from(Case)) or 0) + 1
        patient = Patient(
            site_id=1,
            number=f"P{number}",
            family_name="Family",
            birth_date=date(1980, 1, 1),
            created_at=clock.now(),
        )
        case = Case(
            site_id=1,
            patient=patient,
            accession=f"ONE-{number}",
            specimen=SPECIMEN,
            received_at=clock.now(),
            created_at=clock.now(),
        )
        db.add(case)
        db.flush()
        return case.id


if __name__ == "__main__":
    main()
