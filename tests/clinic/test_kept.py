"""The database itself refuses to change what is never changed, and says when it no longer does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.clinic.tampering import unguarded
from typer.testing import CliRunner

from cytolens.cli.main import app
from cytolens.clinic import clock, migrations, trail
from cytolens.clinic.actor import system
from cytolens.clinic.backup import examine
from cytolens.clinic.database import Database
from cytolens.clinic.errors import Conflict
from cytolens.clinic.installation import Installation
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Image, Model, Overlay, QualityDraw, Reading, Report, Site, kept
from cytolens.core.progress import Silent


@pytest.fixture
def filled(clinic: Installation, people: Any, make: Any) -> Installation:
    """An installation with a row in each table that is kept; the id of each is 1."""
    model, case = make.model(), make.case()
    image, now = make.image(case, model), clock.now()
    with clinic.writing() as db:
        reading = Reading(
            case_id=case, doctor_id=people.users["doctor"], category="NILM", verdict="agree",
            blind=False, created_at=now,
        )  # fmt: skip
        db.add(reading)
        db.flush()
        report = Report(
            case_id=case, version=1, status="final", reading_id=reading.id, content={},
            content_sha256="0" * 64, pdf="1" * 64, bundles=[], created_at=now,
        )  # fmt: skip
        overlay = Overlay(
            image_id=image, model_id=model, method="grad_cam", target="abnormal", notes=[],
            overlay="2" * 64, raw="3" * 64, created_at=now,
        )  # fmt: skip
        db.add_all([report, overlay, QualityDraw(case_id=case, period="2026-11", drawn_at=now)])
        trail.record(db, system(), "case.opened", "case", case)
    return clinic


def _try(clinic: Installation, statement: str) -> None:
    with clinic.database.engine.begin() as connection:
        connection.execute(text(statement))


def _rows(clinic: Installation) -> dict[str, list[Any]]:
    with clinic.database.engine.connect() as connection:
        return {
            of.table: list(connection.execute(text(f'SELECT * FROM "{of.table}" ORDER BY id')))
            for of in kept.KEPT
        }


UPDATES = (
    "UPDATE entry SET action = 'case.closed' WHERE id = 1",
    "UPDATE entry SET details = details",
    "UPDATE report SET content = '{}'",
    "UPDATE report SET status = 'final'",
    "UPDATE reading SET category = 'HSIL'",
    "UPDATE finding SET risk = 0",
    "UPDATE overlay SET target = 'normal'",
    "UPDATE image SET sha256 = '0'",
    "UPDATE image SET case_id = 2",
    "UPDATE image SET id = 2",
    "UPDATE quality_draw SET period = '2026-12'",
    "UPDATE model SET card = '{}'",
    "UPDATE model SET status = 'retired', name = 'another'",
    'UPDATE "case" SET id = 9',
    "UPDATE patient SET id = 9",
)


@pytest.mark.parametrize("statement", UPDATES)
def test_raw_updates_are_refused(filled: Installation, statement: str) -> None:
    before = _rows(filled)
    with pytest.raises(IntegrityError, match="are never changed or deleted"):
        _try(filled, statement)
    assert _rows(filled) == before


@pytest.mark.parametrize("of", kept.KEPT, ids=lambda of: of.table)
def test_rows_are_not_deleted(filled: Installation, of: kept.Kept) -> None:
    before = _rows(filled)
    assert before[of.table]
    how = [f'DELETE FROM "{of.table}"', f'DELETE FROM "{of.table}" WHERE id = 1']
    if not filled.database.is_sqlite:
        how.append(f'TRUNCATE "{of.table}" CASCADE')
    for statement in how:
        with pytest.raises(IntegrityError, match="are never changed or deleted"):
            _try(filled, statement)
    assert _rows(filled) == before


@pytest.mark.parametrize("of", kept.KEPT, ids=lambda of: of.table)
def test_rows_are_not_replaced(filled: Installation, of: kept.Kept) -> None:
    """SQLite's REPLACE deletes without asking the triggers of a deletion; so does no PostgreSQL."""
    before = _rows(filled)
    columns = ", ".join(
        f'"{column}"' for column in kept.Table.metadata.tables[of.table].columns.keys()
    )
    said = "there already|duplicate key"
    verb = "INSERT OR REPLACE" if filled.database.is_sqlite else "INSERT"
    asked = f'{verb} INTO "{of.table}" ({columns}) SELECT {columns} FROM "{of.table}"'
    with pytest.raises(IntegrityError, match=said):
        _try(filled, asked)
    if of.unique:  # another id, the same key
        others = columns.replace('"id", ', "")
        asked = f'{verb} INTO "{of.table}" (id, {others}) SELECT id + 9, {others} FROM "{of.table}"'
        with pytest.raises(IntegrityError, match=said):
            _try(filled, asked)
    if not filled.database.is_sqlite:
        key = ", ".join(of.unique[0]) if of.unique else "id"
        asked = (
            f'INSERT INTO "{of.table}" ({columns}) SELECT {columns} FROM "{of.table}" '
            f"ON CONFLICT ({key}) DO UPDATE SET id = 7"
        )
        with pytest.raises(IntegrityError, match="are never changed or deleted"):
            _try(filled, asked)
    assert _rows(filled) == before


@pytest.mark.parametrize("of", [of for of in kept.KEPT if of.fixed == ("id",)])
def test_rows_are_not_replaced_by_a_change(filled: Installation, of: kept.Kept) -> None:
    key = of.unique[0][-1]
    columns = kept.Table.metadata.tables[of.table].columns.keys()
    same = ", ".join(f'"{column}"' for column in columns if column not in ("id", key))
    _try(
        filled,
        f'INSERT INTO "{of.table}" (id, "{key}", {same}) SELECT id + 90, \'other\', {same} '
        f'FROM "{of.table}" WHERE id = 1',
    )
    before = _rows(filled)
    verb = "UPDATE OR REPLACE" if filled.database.is_sqlite else "UPDATE"
    with pytest.raises(IntegrityError, match="there already|duplicate key"):
        _try(
            filled,
            f'{verb} "{of.table}" SET "{key}" = (SELECT "{key}" FROM "{of.table}" WHERE id = 1) '
            "WHERE id = 91",
        )
    assert _rows(filled) == before


def test_what_the_program_changes_may_change(filled: Installation) -> None:
    for statement in (
        "UPDATE image SET removed_at = '2026-11-21 00:00:00'",
        "UPDATE quality_draw SET reading_id = 1",
        "UPDATE model SET status = 'retired', retired_at = activated_at",
        "UPDATE model SET status = 'active'",
        "UPDATE \"case\" SET status = 'amended', revision = revision + 1",
        "UPDATE patient SET family_name = 'Another'",
        "UPDATE site SET name = 'Another'",
    ):
        _try(filled, statement)
    for statement in (  # once
        "UPDATE image SET removed_at = NULL",
        "UPDATE image SET removed_at = '2026-11-22 00:00:00'",
        "UPDATE quality_draw SET reading_id = NULL",
    ):
        with pytest.raises(IntegrityError, match="are never changed or deleted"):
            _try(filled, statement)


def test_a_fault_of_the_program_is_no_conflict(filled: Installation) -> None:
    """Who is told "somebody was faster" would try again for ever."""
    with (
        pytest.raises(IntegrityError, match="rows of image are never changed"),
        filled.writing() as db,
    ):
        db.get_one(Image, 1).name = "another.png"
    with (
        pytest.raises(IntegrityError, match="rows of model are never changed"),
        filled.writing() as db,
    ):
        db.delete(db.get_one(Model, 1))
    with pytest.raises(Conflict, match="exists already"), filled.writing() as db:
        db.add(Site(code="ONE", name="again", created_at=clock.now()))


def _flaws(clinic: Installation) -> list[str]:
    with clinic.database.engine.connect() as connection:
        return kept.flaws(connection)


def _names(clinic: Installation) -> Iterator[tuple[str, str]]:
    for of in kept.KEPT:
        for name in kept.statements(of, clinic.database.engine.dialect.name):
            yield of.table, name


def _drop(clinic: Installation, table: str, name: str) -> None:
    on = "" if clinic.database.is_sqlite else f' ON "{table}"'
    _try(clinic, f"DROP TRIGGER {name}{on}")


def test_every_trigger_that_is_gone_is_told(filled: Installation) -> None:
    try:
        for number, (table, name) in enumerate(list(_names(filled)), start=1):
            _drop(filled, table, name)
            found = _flaws(filled)
            assert len(found) == number and f"the trigger {name} is missing" in found
        found = examine(filled, blobs=False, progress=Silent()).unguarded
        assert len(found) == len(list(_names(filled))) > 30
    finally:
        assert migrations.protect(filled.database) == found
    assert _flaws(filled) == migrations.protect(filled.database) == []


def test_a_trigger_that_was_changed_is_told(filled: Installation) -> None:
    try:
        _drop(filled, "image", "kept_image_update")
        if filled.database.is_sqlite:
            _try(
                filled,
                'CREATE TRIGGER kept_image_update BEFORE UPDATE ON "image" WHEN NEW.id IS NOT '
                "OLD.id BEGIN SELECT RAISE(ABORT, 'no'); END",
            )
        else:
            _try(
                filled,
                'CREATE TRIGGER kept_image_update BEFORE UPDATE OF "id" ON "image" FOR EACH ROW '
                "EXECUTE FUNCTION cytolens_refuse()",
            )
        assert _flaws(filled) == ["the trigger kept_image_update is not as it was made"]
        if not filled.database.is_sqlite:
            _try(filled, "ALTER TABLE entry DISABLE TRIGGER kept_entry_delete")
            assert "the trigger kept_entry_delete is turned off" in _flaws(filled)
            _try(
                filled,
                "CREATE OR REPLACE FUNCTION cytolens_refuse() RETURNS trigger LANGUAGE plpgsql "
                "AS $$BEGIN RETURN NEW; END$$",
            )
            assert len(_flaws(filled)) == len(list(_names(filled)))
    finally:
        migrations.protect(filled.database)
    assert _flaws(filled) == []


def test_verify_and_upgrade_by_the_command_line(filled: Installation) -> None:
    at = ["--data", str(filled.settings.data)]
    if filled.settings.database_url:
        at += ["--database-url", filled.settings.database_url]

    def run(what: str) -> Any:
        return CliRunner().invoke(app, ["clinic", what, *at])

    whole = run("verify")
    assert whole.exit_code == 0 and "refuses changes of what is never changed" in whole.output
    try:
        _drop(filled, "report", "kept_report_update")
        spoilt = run("verify")
        assert spoilt.exit_code == 3, spoilt.output
        said = " ".join(spoilt.output.split())
        assert "the trigger kept_report_update is missing; cytolens clinic upgrade makes" in said
    finally:
        mended = run("upgrade")
    assert "made again the trigger kept_report_update is missing" in " ".join(mended.output.split())
    assert run("verify").exit_code == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    settings = Settings(tmp_path)
    if request.param == "postgresql":
        server = Database(request.getfixturevalue("postgresql_url"))
        with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("DROP DATABASE IF EXISTS guarded WITH (FORCE)"))
            connection.execute(text("CREATE DATABASE guarded"))
        server.close()
        url = server.engine.url.set(database="guarded").render_as_string(hide_password=False)
        settings = Settings(tmp_path, database_url=url)
    database = Database(settings.database)
    yield database
    database.close()


def test_the_migrated_database_has_them_all(fresh: Database) -> None:
    migrations.upgrade(fresh)
    with fresh.engine.connect() as connection:
        assert kept.flaws(connection) == []


def test_tests_put_them_back(filled: Installation) -> None:
    with filled.database.engine.begin() as connection, unguarded(connection):
        connection.execute(text("UPDATE reading SET category = 'HSIL'"))
    assert _flaws(filled) == []
    with pytest.raises(IntegrityError):
        _try(filled, "UPDATE reading SET category = 'NILM'")
