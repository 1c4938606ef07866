"""An installation of the clinic after half a year: cases, images, findings, signed reports.

Rows are inserted in bulk, past the services, and the audit log is chained as they would chain it;
the pictures are a few small ones that all images share.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sqlalchemy import Engine, create_mock_engine, insert
from sqlalchemy.orm import Session

from cytolens.clinic import clock, migrations, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.blobs import Blobs
from cytolens.clinic.database import Database
from cytolens.clinic.desk.verdicts import by_rule
from cytolens.clinic.installation import open_installation
from cytolens.clinic.rights import Role
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import (
    Case,
    Entry,
    Finding,
    Image,
    Job,
    Model,
    Patient,
    QualityDraw,
    Reading,
    Report,
    Site,
    Table,
    User,
)
from cytolens.clinic.vocabulary import vocabulary
from cytolens.core.files import read_json, sha256_json, write_json
from cytolens.core.seeding import rng

SPECIMEN = "cervix-liquid"
DOCTORS, DIRECTORS, ADMINISTRATORS = 40, 6, 14
OPEN = 300  # of the cases, the latest: to be read or to be signed
_DAYS = 182
_CHUNK = 20_000
_FAMILIES = ("García", "Müller", "Okafor", "Smith", "Nguyen", "Rossi", "Silva", "Kowalska")
_GIVEN = ("Ana", "Inés", "Maria", "Chloé", "Aisha", "Olga", "Rosa", "Tereza", "Lucía", "Emma")
_CATEGORIES = (("NILM", 0.8), ("ASC-US", 0.08), ("LSIL", 0.06), ("HSIL", 0.04), ("UNSAT", 0.02))
_BUNDLE = "0" * 12  # id of the bundle

Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much there is; `images` of each case."""

    cases: int
    images: int


def filled(folder: Path, size: Size) -> Path:
    """Return the folder of an installation of that size, made unless it lies there already.

    One of other tables, or that was cut off, is made anew.
    """
    place = folder / f"{size.cases}-cases-{size.images}-images"
    made = {"tables": _tables(), "format": 1}
    written = place / "filled.json"
    if written.exists() and read_json(written, "installation") == made:
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    settings = Settings(place)
    database = Database(settings.database)
    migrations.upgrade(database)
    database.close()
    clinic = open_installation(settings)
    try:
        pictures = _pictures(clinic.blobs, size.images)
        with clinic.writing() as db:
            _Filler(db, size, pictures, clinic.blobs.put(b"%PDF-1.7 of the benchmark")).fill()
    finally:
        clinic.close()
    write_json(written, made)
    return place


def _tables() -> str:
    """Return a hash of the tables and their indexes."""
    said: list[str] = []
    engine: Engine = create_mock_engine(  # type: ignore[assignment]
        "sqlite://", lambda sql, *_: said.append(str(sql.compile(dialect=engine.dialect)))
    )
    Table.metadata.create_all(engine, checkfirst=False)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def _pictures(blobs: Blobs, count: int) -> list[tuple[str, str]]:
    """Return image and thumbnail of the pictures that every case has, as blobs."""
    made = []
    for number in range(count):
        drawn = rng(number, "benchmark", "picture")
        coarse = drawn.integers(150, 256, (40, 52, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (1040, 800), interpolation=cv2.INTER_CUBIC)
        small = cv2.resize(pixels, (256, 197), interpolation=cv2.INTER_AREA)
        image = cv2.imencode(".png", pixels)[1].tobytes()
        thumbnail = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        made.append((blobs.put(image), blobs.put(thumbnail)))
    return made


class _Filler:
    """Fills an empty database within one transaction."""

    def __init__(self, db: Session, size: Size, pictures: list[tuple[str, str]], pdf: str) -> None:
        self.db, self.size, self.pictures, self.pdf = db, size, pictures, pdf
        self.random = rng(0, "benchmark", "clinic")
        self.now = clock.now()
        step = timedelta(days=_DAYS) / size.cases
        self.received = [self.now - step * (size.cases - n) for n in range(size.cases)]
        codes, shares = zip(*_CATEGORIES, strict=True)
        self.category = self.random.choice(codes, size.cases, p=shares).tolist()
        self.doctor = self.random.integers(1, DOCTORS + 1, size.cases).tolist()
        self.hours = self.random.gamma(2, 16, size.cases).tolist()
        noise = self.random.beta(1, 12, (size.cases, size.images))
        abnormal = np.array([code not in ("NILM", "UNSAT") for code in self.category])
        self.risk = np.clip(noise + 0.7 * abnormal[:, None] * (noise > 0.05), 0, 1)

    def fill(self) -> None:
        self._people()
        self._add(Patient, (self._patient(n) for n in range(self._patients)))
        self._add(Case, (self._case(n) for n in range(self.size.cases)))
        read = self._known - OPEN // 5  # the last ones are preliminary, or not read
        self._add(Reading, (self._reading(n) for n in range(self._known)))
        self._add(Report, (self._report(n, n < read) for n in range(self._known)))
        total = self.size.cases * self.size.images
        self._add(Image, (self._image(n) for n in range(total)))
        self._add(Job, (self._job(n) for n in range(total)))
        self._add(Finding, (self._finding(n) for n in range(total)))
        drawn = [n for n in range(read) if self.category[n] == "NILM"][::6]
        again = drawn[: len(drawn) * 9 // 10]  # the last ones wait
        self._add(Reading, (self._second(n) for n in again))
        self._add(QualityDraw, (self._draw(n, n <= max(again, default=-1)) for n in drawn))
        self._add(Entry, self._log())

    @property
    def _patients(self) -> int:
        return max(1, self.size.cases * 3 // 5)

    @property
    def _known(self) -> int:
        """How many cases have a reading."""
        return max(0, self.size.cases - OPEN + OPEN // 5)

    def _add(self, table: type[Table], rows: Iterator[Row]) -> None:
        chunk: list[Row] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == _CHUNK:
                self.db.execute(insert(table), chunk)
                chunk = []
        if chunk:
            self.db.execute(insert(table), chunk)

    def _people(self) -> None:
        began = self.received[0]
        sites = [Site(code=code, name=name, created_at=began) for code, name in
                 (("NORTH", "Laboratory North"), ("SOUTH", "Laboratory South"))]  # fmt: skip
        self.db.add_all(sites)
        many = (
            (Role.DOCTOR, DOCTORS),
            (Role.DIRECTOR, DIRECTORS),
            (Role.ADMINISTRATOR, ADMINISTRATORS),
        )
        for role, count in many:
            for n in range(count):
                self.db.add(
                    User(
                        username=f"{role}{n}", name=f"{role.title()} {n}", role=str(role),
                        sites=sites, created_at=began, password_hash="none",
                    )
                )  # fmt: skip
                self.db.flush()
        card = {"classes": ["normal", "abnormal"], "decision": {"abnormal": ["abnormal"]}}
        self.db.add(
            Model(
                bundle=_BUNDLE, name="a bundle", version="1.0.0", specimen=SPECIMEN,
                status="active", card=card, uploaded_at=began, activated_at=began,
            )
        )  # fmt: skip
        self.db.flush()

    def _patient(self, n: int) -> Row:
        return {
            "id": n + 1, "site_id": n % 2 + 1, "number": f"P{n:06}",
            "family_name": f"{_FAMILIES[n % len(_FAMILIES)]} {_FAMILIES[n // 8 % len(_FAMILIES)]}",
            "given_name": _GIVEN[n % len(_GIVEN)], "sex": "female",
            "birth_date": date(1945 + n % 55, n % 12 + 1, n % 28 + 1),
            "created_at": self.received[0],
        }  # fmt: skip

    def _case(self, n: int) -> Row:
        patient = n * 7 % self._patients + 1
        signed = n < self._known - OPEN // 5
        status = "final" if signed else "preliminary" if n < self._known else "open"
        return {
            "id": n + 1, "site_id": (patient - 1) % 2 + 1, "patient_id": patient,
            "accession": f"26-{n:06}", "specimen": SPECIMEN, "received_at": self.received[n],
            "created_at": self.received[n], "status": status, "blind": n % 10 == 0,
            "images_count": self.size.images, "risk": float(self.risk[n].max()),
            "decision": self._decision(n), "assigned_id": self.doctor[n], "indicators": [],
            "signed_at": self._signed_at(n) if signed else None, "revision": 3,
            "adequacy": "satisfactory", "clinical": "Routine",
        }  # fmt: skip

    def _decision(self, n: int) -> str:
        risk = self.risk[n].max()
        return "abnormal" if risk > 0.6 else "refer" if risk > 0.4 else "clear"

    def _signed_at(self, n: int) -> datetime:
        return min(self.received[n] + timedelta(hours=self.hours[n]), self.now)

    def _reading(self, n: int) -> Row:
        category = vocabulary(SPECIMEN).category(self.category[n])
        return {
            "id": n + 1, "case_id": n + 1, "doctor_id": self.doctor[n], "category": category.code,
            "verdict": by_rule(category, self._decision(n)), "blind": n % 10 == 0,
            "decision": self._decision(n), "created_at": self._signed_at(n), "kind": "primary",
        }  # fmt: skip

    def _second(self, n: int) -> Row:
        first = self._reading(n)
        doctor = first["doctor_id"] % DOCTORS + 1
        return first | {"id": self.size.cases + n + 1, "doctor_id": doctor, "kind": "quality"}

    def _report(self, n: int, signed: bool) -> Row:
        content = {"format": 1, "images": [{"name": f"{n}-{i}", "label": "normal", "why": "x" * 150}
                                           for i in range(self.size.images)]}  # fmt: skip
        return {
            "id": n + 1, "case_id": n + 1, "version": 1, "reading_id": n + 1, "content": content,
            "status": "final" if signed else "preliminary", "pdf": self.pdf,
            "signed_by": self.doctor[n] if signed else None, "bundles": [_BUNDLE],
            "content_sha256": sha256_json(content), "created_at": self._signed_at(n),
        }  # fmt: skip

    def _image(self, n: int) -> Row:
        case, place = divmod(n, self.size.images)
        image, thumbnail = self.pictures[place]
        return {
            "id": n + 1, "case_id": case + 1, "sha256": image, "name": f"field-{n:07}.png",
            "thumbnail": thumbnail, "width": 1040, "height": 800,
            "uploaded_by": self.doctor[case], "uploaded_at": self.received[case],
        }  # fmt: skip

    def _job(self, n: int) -> Row:
        at = self.received[n // self.size.images]
        return {
            "id": n + 1, "image_id": n + 1, "specimen": SPECIMEN, "kind": "finding", "tries": 1,
            "state": "done", "worker": "one", "created_at": at, "done_at": at,
        }  # fmt: skip

    def _finding(self, n: int) -> Row:
        case, place = divmod(n, self.size.images)
        risk = float(self.risk[case, place])
        label = "abnormal" if risk > 0.5 else "normal"
        return {
            "id": n + 1, "image_id": n + 1, "model_id": 1, "label": label, "inside": [label],
            "probabilities": {"normal": 1 - risk, "abnormal": risk}, "level": 0.9, "risk": risk,
            "decision": "abnormal" if risk > 0.6 else "refer" if risk > 0.4 else "clear",
            "reasons": [], "strangeness": 0.4 + risk / 2, "problem": "",
            "created_at": self.received[case],
        }  # fmt: skip

    def _draw(self, n: int, read: bool) -> Row:
        at = self._signed_at(n)
        reading = self.size.cases + n + 1 if read else None
        return {"case_id": n + 1, "period": f"{at:%Y-%m}", "drawn_at": at, "reading_id": reading}

    def _log(self) -> Iterator[Row]:
        """Yield seven lines a case, each bound to the one before."""
        previous, number = trail.FIRST, 0
        told = ("case.opened", "images.added", "case.viewed", "image.viewed", "case.viewed",
                "reading.entered", "report.signed")  # fmt: skip
        for n in range(self.size.cases):
            by = self.doctor[n]
            actor = Actor(by, f"doctor{by - 1}", Role.DOCTOR, address="127.0.0.1")
            for action in told[: 7 if n < self._known else 3]:
                number += 1
                row: Row = {
                    "id": number, "at": self.received[n], "user_id": actor.user, "key": str(n + 1),
                    "username": actor.username, "role": "doctor", "action": action, "kind": "case",
                    "site_id": n * 7 % self._patients % 2 + 1, "bundle": "",
                    "address": actor.address,
                    "details": {"findings": True} if action == "case.viewed" else {},
                    "previous": previous,
                }  # fmt: skip
                row["hash"] = previous = trail.line_hash(Entry(**row), self.db.info[trail.KEY])
                yield row
        self.db.info[trail.HEAD] = (number, previous)
