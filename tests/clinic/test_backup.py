"""A backup restores to the same content on either database; what was changed is refused."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from tests.clinic.tampering import unguarded
from typer.testing import CliRunner

from cytolens.cli.main import app
from cytolens.clinic import clock, migrations, trail
from cytolens.clinic.accounts import devices, invitations, sessions, tokens
from cytolens.clinic.actor import system
from cytolens.clinic.backup import back_up, examine, restore
from cytolens.clinic.blobs import FolderBlobs
from cytolens.clinic.database import Database
from cytolens.clinic.errors import NotFound
from cytolens.clinic.installation import Installation, open_installation
from cytolens.clinic.management import bundles, users
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import (
    Case,
    Device,
    Entry,
    Invitation,
    Patient,
    Report,
    SignIn,
    Site,
    Table,
    Token,
    User,
)
from cytolens.core.errors import InputError
from cytolens.core.progress import Silent

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "bundle"))
from random_bundle import write_random_bundle
from signed_case import sign


@pytest.fixture
def full(
    clinic: Installation, people: Any, make: Any, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """An installation with images, findings, a signed and amended report, and a real bundle."""
    made = tmp_path_factory.mktemp("bundle") / "bundle"
    write_random_bundle(made, ("normal", "abnormal"))
    model, _ = bundles.install(clinic, people.actors["administrator"], made, "cervix-liquid")
    case, other = make.case(), make.case("two")
    make.image(case, model.id, 0.25)
    make.image(case, model.id, 1 / 3)
    make.image(other)
    sign(clinic, people, case, "NILM", clock.now(), pdf=b"%PDF first")
    sign(clinic, people, case, "LSIL", clock.now(), pdf=b"%PDF second")
    with clinic.writing() as db:
        patient = db.get_one(Patient, db.get_one(Case, other).patient_id)
        patient.family_name, patient.birth_date = "Ñandú\u2028\u0085\N{WOMAN}\n", date(1931, 12, 31)
        trail.record(db, system(), "case.opened", "case", case, note="ä\u2028")
    return clinic


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a new, empty place."""
    new = tmp_path / "new place"
    if request.param == "sqlite":
        yield Settings(new)
        return
    url = request.getfixturevalue("postgresql_url")
    server = Database(url)
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS restored WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE restored"))
    target = server.engine.url.set(database="restored").render_as_string(hide_password=False)
    server.close()
    yield Settings(new, database_url=target)


def _content(installation: Installation) -> dict[str, list[tuple[Any, ...]]]:
    with installation.database.engine.connect() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in Table.metadata.sorted_tables
        }


def _but_device_keys(content: dict[str, list[tuple[Any, ...]]]) -> dict[str, Any]:
    """Leave out what every restore makes anew."""
    at = list(User.__table__.columns.keys()).index("device_key")
    return content | {"user": [row[:at] + row[at + 1 :] for row in content["user"]]}


def _back_up(installation: Installation, target: Path, with_secret: bool = True) -> Any:
    return back_up(installation, target, with_secret=with_secret, progress=Silent())


@pytest.mark.parametrize("name", ["backup.tar", "backup"])
def test_a_restored_installation_is_the_same(
    full: Installation, tmp_path: Path, elsewhere: Settings, name: str
) -> None:
    before = _content(full)
    made = _back_up(full, tmp_path / name)
    assert (made.blobs, made.bundles, made.problems) == (8, 1, [])
    assert made.rows == sum(map(len, before.values()))
    told = restore(tmp_path / name, elsewhere, progress=Silent())
    assert (told.rows, told.blobs, told.problems) == (made.rows, made.blobs, [])
    again = open_installation(elsewhere)
    after = _content(again)
    added = after["entry"].pop()
    assert added[5] == "installation.restored"
    assert _but_device_keys(after) == _but_device_keys(before)
    assert {*again.blobs.names()} == {*full.blobs.names()}
    with again.reading() as db:
        documents = [again.blobs.get(r.pdf) for r in db.scalars(select(Report).order_by(Report.id))]
    assert documents == [b"%PDF first", b"%PDF second"]
    assert examine(again, blobs=True, progress=Silent()).whole
    with again.writing() as db:  # rows are numbered on, and lines are added to the same chain
        site = Site(code="NEW", name="New", created_at=clock.now())
        db.add(site)
        db.flush()
        assert site.id == max(row[0] for row in before["site"]) + 1
        trail.record(db, system(), "site.opened", "site", site.id)
    with again.reading() as db:
        assert trail.verify(db, again.head) == (len(before["entry"]) + 2, None)
    again.close()


def test_what_was_ended_since_the_backup_does_not_come_back(
    clinic: Installation, people: Any, tmp_path: Path, elsewhere: Settings
) -> None:
    doctor, administrator = people.actors["doctor"], people.actors["administrator"]
    with clinic.writing() as db:
        user = db.get_one(User, doctor.user)
        user.password_hash = "a hash"
        opened = sessions.open_session(
            db, user, clinic.settings, address="", agent="", second_factor=True
        )
        token = tokens.issue(db, doctor, "a program")
        link = users.invite(db, administrator, "invited", "In Vited", "doctor", [1])[1]
        known = devices.remember(clinic.secret, "", user)
    assert invitations.welcome(clinic, link).username == "invited"
    _back_up(clinic, tmp_path / "b.tar")
    with clinic.writing() as db:
        users.disable(db, administrator, doctor.user)
    told = restore(tmp_path / "b.tar", elsewhere, progress=Silent())
    assert (told.ended.sessions, told.ended.tokens, told.ended.links) == (1, 1, 1)
    there = open_installation(elsewhere)
    with there.reading() as db:
        assert db.scalars(select(SignIn)).all() == []
        assert sessions.find_session(db, opened.token, there.settings, "") is None
        assert None not in db.scalars(select(Token.revoked_at)).all()
        assert None not in db.scalars(select(Invitation.used_at)).all()
        assert devices.number(there.secret, known, db.get_one(User, doctor.user)) == ""
        line = db.scalars(select(Entry).order_by(Entry.id.desc())).first()
        assert line is not None and line.action == "installation.restored"
        ended = {"sessions_ended": 1, "tokens_revoked": 1, "links_ended": 1}
        assert ended.items() <= line.details.items()
        assert trail.verify(db, there.head)[1] is None
    assert tokens.actor_of_token(there, token, "") is None
    with pytest.raises(NotFound):
        invitations.welcome(there, link)
    there.close()
    accounts = {account.username: account for account in told.accounts}
    assert accounts.keys() == {*people.users, "invited"}  # the doctor is open again, and told
    assert (accounts["doctor"].waits, accounts["invited"].waits) == (False, True)
    assert accounts["invited"].name == "In Vited" and accounts["invited"].role == "doctor"


def test_the_command_line_tells_who_may_sign_in_after_a_restore(
    clinic: Installation, people: Any, tmp_path: Path
) -> None:
    with clinic.writing() as db:
        users.disable(db, people.actors["administrator"], people.users["director"])
        tokens.issue(db, people.actors["doctor"], "a program")
    _back_up(clinic, tmp_path / "b.tar")
    told = _run("restore", str(tmp_path / "b.tar"), "--data", str(tmp_path / "new"))
    assert told.exit_code == 0, told.output
    assert "0 sessions, 1 tokens of machines, 0 links" in told.output
    assert "who was disabled since is open" in told.output
    listed = [line.split()[0] for line in told.output.splitlines() if line.startswith("  ")]
    assert listed == ["administrator", "doctor", "doctor_two", "second_doctor"]


def test_a_second_journey_ends_the_same(
    full: Installation, tmp_path: Path, elsewhere: Settings
) -> None:
    _back_up(full, tmp_path / "first.tar")
    restore(tmp_path / "first.tar", elsewhere, progress=Silent())
    there = open_installation(elsewhere)
    before = _content(there)
    _back_up(there, tmp_path / "second.tar")
    there.close()
    back = Settings(tmp_path / "back")
    restore(tmp_path / "second.tar", back, progress=Silent())
    again = open_installation(back)
    after = _content(again)
    again.close()
    after["entry"].pop()
    assert _but_device_keys(after) == _but_device_keys(before)


def test_a_backup_sees_one_moment(
    full: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written while tables are read is in none of them."""
    from cytolens.clinic.backup import make as making

    lines, written = making.lines, []

    def slow(connection: Any, table: Any) -> Iterator[str]:
        if not written:
            written.append(1)
            with full.writing() as db:
                trail.record(db, system(), "case.opened", "case", 1)
                db.add(Site(code="LATE", name="Late", created_at=clock.now()))
        yield from lines(connection, table)

    with full.reading() as db:
        count = trail.verify(db)[0]
    monkeypatch.setattr(making, "lines", slow)
    _back_up(full, tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["audit"]["lines"] == count
    assert manifest["rows"]["entry"] == count and manifest["rows"]["site"] == 2


def _changed_row(folder: Path) -> None:
    path = folder / "tables" / "case.jsonl"
    path.write_text(path.read_text().replace("ONE-0001", "ONE-9999"))


def _changed_blob(folder: Path) -> None:
    path = sorted((folder / "blobs").iterdir())[0]
    path.write_bytes(path.read_bytes() + b" ")


def _lost_blob(folder: Path) -> None:
    sorted((folder / "blobs").iterdir())[0].unlink()


def _lost_table(folder: Path) -> None:
    (folder / "tables" / "user.jsonl").unlink()


def _added_file(folder: Path) -> None:
    (folder / "tables" / "more.jsonl").write_text("{}")


def _strange_file(folder: Path) -> None:
    (folder / "evil.sh").write_text("#!/bin/sh")


def _linked(folder: Path) -> None:
    path = folder / "tables" / "user.jsonl"
    path.rename(folder.with_name("user.jsonl"))
    path.symlink_to(folder.with_name("user.jsonl"))


def _changed_with_its_hash(folder: Path) -> None:
    import hashlib

    _changed_row(folder)
    content = (folder / "tables" / "case.jsonl").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["tables/case.jsonl"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _newer(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": "9999"}))


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    "spoil, said",
    [
        (_changed_row, "tables/case.jsonl of the backup was changed"),
        (_changed_blob, "of the backup was changed, or is damaged"),
        (_lost_blob, "holds 7 blobs; its manifest says 8"),
        (_lost_table, "lacks tables/user.jsonl"),
        (_added_file, "holds tables/more.jsonl, which its manifest does not"),
        (_strange_file, "'evil.sh' is no file of a backup"),
        (_linked, "is a link"),
        (_changed_with_its_hash, "The seal of the backup does not fit the secret"),
        (_newer, "whose database has the version 9999"),
        (_no_manifest, "There is no manifest"),
    ],
)
def test_a_backup_that_was_changed_is_refused(
    full: Installation, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    _back_up(full, tmp_path / "b")
    spoil(tmp_path / "b")
    new = Settings(tmp_path / "new")
    with pytest.raises(InputError, match=said):
        restore(tmp_path / "b", new, progress=Silent())
    assert not new.data.exists()


def test_a_row_that_was_changed_in_the_log_itself_is_told(
    full: Installation, tmp_path: Path
) -> None:
    with full.database.engine.begin() as connection, unguarded(connection):
        connection.execute(text("UPDATE entry SET key = '9' WHERE id = 1"))
    made = _back_up(full, tmp_path / "b.tar")
    assert made.problems == ["audit log: line 1 was changed"]
    told = restore(tmp_path / "b.tar", Settings(tmp_path / "new"), progress=Silent())
    assert told.problems == ["audit log: line 1 was changed"]  # as it was, neither better nor worse


def test_a_blob_that_is_missing_is_told(full: Installation, tmp_path: Path) -> None:
    lost = next(full.blobs.names())
    full.blobs.delete(lost)
    made = _back_up(full, tmp_path / "b.tar")
    assert made.problems == [f"blob {lost} is missing, or was changed"]
    told = restore(tmp_path / "b.tar", Settings(tmp_path / "new"), progress=Silent())
    assert told.problems == [f"blob {lost} is missing"] and told.blobs == made.blobs


def test_a_full_place_is_refused(full: Installation, tmp_path: Path) -> None:
    _back_up(full, tmp_path / "b.tar")
    with pytest.raises(InputError, match="is not empty: it holds"):
        restore(tmp_path / "b.tar", full.settings, progress=Silent())
    with pytest.raises(InputError, match="The database is not empty"):
        restore(
            tmp_path / "b.tar",
            Settings(tmp_path / "new", database_url=full.settings.database),
            progress=Silent(),
        )
    assert not (tmp_path / "new").exists()


def test_a_place_that_is_taken_is_refused(full: Installation, tmp_path: Path) -> None:
    _back_up(full, tmp_path / "b.tar")
    with pytest.raises(InputError, match="is there already"):
        _back_up(full, tmp_path / "b.tar")
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob(".rows*"))


def test_the_secret(full: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _back_up(full, tmp_path / "b.tar", with_secret=False)
    assert not made.with_secret
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert "secret.key" not in archive.getnames()
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0
    new = Settings(tmp_path / "new")
    with pytest.raises(InputError, match=r"The secret of the installation is not in the backup"):
        restore(tmp_path / "b.tar", new, progress=Silent())
    new.data.mkdir()
    (new.data / "secret.key").write_text("another-key-entirely-0123456789-abcdefghij\n")
    (new.data / "secret.key").chmod(0o600)
    with pytest.raises(InputError, match="The seal of the backup does not fit"):
        restore(tmp_path / "b.tar", new, progress=Silent())
    assert [path.name for path in new.data.iterdir()] == ["secret.key"]
    shutil.copy(full.settings.data / "secret.key", new.data / "secret.key")
    assert restore(tmp_path / "b.tar", new, progress=Silent()).rows == made.rows
    monkeypatch.setenv("CYTOLENS_SECRET", (new.data / "secret.key").read_text().strip())
    with pytest.raises(InputError, match="The secret is not in a file"):
        _back_up(full, tmp_path / "c.tar")


def test_tar_tricks_are_refused(tmp_path: Path) -> None:
    def tar(name: str, kind: bytes = tarfile.REGTYPE) -> Path:
        path = tmp_path / "evil.tar"
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, 0, "/etc/passwd"
            archive.addfile(member, io.BytesIO())
        return path

    for path, said in (
        (lambda: tar("../../evil"), "is no file of a backup"),
        (lambda: tar("/etc/evil"), "is no file of a backup"),
        (lambda: tar("blobs/../../evil"), "is no file of a backup"),
        (lambda: tar("secret.key", tarfile.SYMTYPE), "is no file, or is there twice"),
    ):
        with pytest.raises(InputError, match=said):
            restore(path(), Settings(tmp_path / "new"), progress=Silent())
    (tmp_path / "no.tar").write_text("no archive")
    for source, said in (("no.tar", "is no backup, or is damaged"), ("none", "There is no backup")):
        with pytest.raises(InputError, match=said):
            restore(tmp_path / source, Settings(tmp_path / "new"), progress=Silent())
    assert not (tmp_path / "new").exists()


def _run(*words: str) -> Any:
    return CliRunner().invoke(app, ["clinic", *words])


def _at(installation: Installation) -> list[str]:
    settings = installation.settings
    url = ["--database-url", settings.database_url] if settings.database_url else []
    return ["--data", str(settings.data), *url]


def test_verify_says_the_line_and_fails(full: Installation) -> None:
    whole = _run("verify", *_at(full), "--blobs")
    assert (whole.exit_code, "whole" in whole.output) == (0, True)
    assert "8 read, 0 problems" in whole.output
    assert isinstance(full.blobs, FolderBlobs)
    name = next(full.blobs.names())
    (full.blobs.folder / name[:2] / name[2:4] / name).write_bytes(b"other")
    assert _run("verify", *_at(full)).exit_code == 0
    spoilt = _run("verify", *_at(full), "--blobs")
    assert spoilt.exit_code == 3 and f"{name} was changed after it was stored" in spoilt.output
    with full.database.engine.begin() as connection, unguarded(connection):
        connection.execute(text("UPDATE entry SET action = 'x' WHERE id = 2"))
    broken = _run("verify", *_at(full))
    assert broken.exit_code == 3 and "line 2: line 2 was changed" in broken.output


def test_back_up_and_restore_by_the_command_line(full: Installation, tmp_path: Path) -> None:
    made = _run("backup", str(tmp_path / "b.tar"), *_at(full))
    assert made.exit_code == 0 and "keep " in made.output and "secret.key" in made.output
    (tmp_path / "new").mkdir()
    shutil.copy(full.settings.data / "secret.key", tmp_path / "new" / "secret.key")
    told = _run("restore", str(tmp_path / "b.tar"), "--data", str(tmp_path / "new"))
    assert told.exit_code == 0, told.output
    assert _run("verify", "--data", str(tmp_path / "new"), "--blobs").exit_code == 0


def test_upgrade_and_unlock_by_the_command_line(
    clinic: Installation, people: Any, tmp_path: Path
) -> None:
    first = _run("upgrade", "--data", str(tmp_path / "new"))
    assert first.exit_code == 0 and "was empty before" in first.output
    again = _run("upgrade", "--data", str(tmp_path / "new"))
    assert "was there already" in again.output
    assert f"version {migrations.latest()}" in again.output
    administrator = people.users["administrator"]
    with clinic.writing() as db:
        db.get_one(User, administrator).locked_until = clock.now()
        db.add(Device(user_id=administrator, number="a browser", failures=5))
    assert _run("unlock", "Administrator", *_at(clinic)).exit_code == 0
    with clinic.reading() as db:
        assert db.get_one(User, administrator).locked_until is None
        assert db.scalars(select(Device)).all() == []
    missing = _run("unlock", "nobody", *_at(clinic))
    assert isinstance(missing.exception, InputError)
    assert "There is no account 'nobody'" in str(missing.exception)
    nowhere = _run("verify", "--data", str(tmp_path / "typo"))
    assert "There is no installation at" in str(nowhere.exception)
    assert not (tmp_path / "typo").exists()
