"""The versions of the database lead to what the tables say, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from cytolens.clinic import migrations
from cytolens.clinic.database import Database
from cytolens.clinic.installation import open_installation
from cytolens.clinic.migrations import State
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Table
from cytolens.core.errors import InputError


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an installation whose database has no tables."""
    if request.param == "sqlite":
        yield Settings(tmp_path)
        return
    url = request.getfixturevalue("postgresql_url")
    server = Database(url)
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS fresh WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE fresh"))
    server.close()
    fresh = Database(url).engine.url.set(database="fresh").render_as_string(hide_password=False)
    yield Settings(tmp_path, database_url=fresh)


@pytest.fixture
def database(empty: Settings) -> Iterator[Database]:
    opened = Database(empty.database)
    yield opened
    opened.close()


def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    assert migrations.state(database) is State.EMPTY
    assert migrations.upgrade(database) == (None, migrations.latest())
    assert migrations.state(database) is State.CURRENT
    assert migrations.differences(database) == []
    made = inspect(database.engine)
    for table in Table.metadata.sorted_tables:
        indexes = {index["name"] for index in made.get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= indexes


def test_differences_sees_a_column_that_no_version_adds(database: Database) -> None:
    migrations.upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE site DROP COLUMN name"))
    assert [change[0] for change in migrations.differences(database)] == ["add_column"]


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    migrations.upgrade(database)
    assert migrations.upgrade(database) == (migrations.latest(), migrations.latest())
    assert migrations.differences(database) == []


def test_only_one_bundle_a_specimen_is_active_in_the_migrated_schema(database: Database) -> None:
    migrations.upgrade(database)
    [index] = [i for i in inspect(database.engine).get_indexes("model") if "active" in i["name"]]
    assert index["unique"]
    condition = next(v for k, v in index["dialect_options"].items() if k.endswith("_where"))
    assert "active" in str(condition)


def test_an_installation_of_a_newer_version_is_refused(empty: Settings, database: Database) -> None:
    migrations.upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrations.state(database) is State.NEWER
    for refused in (lambda: migrations.upgrade(database), lambda: open_installation(empty)):
        with pytest.raises(InputError, match="made by a newer version of cytolens than this one"):
            refused()


def test_an_empty_database_is_not_opened(empty: Settings) -> None:
    with pytest.raises(InputError, match=r"The database is empty\.\nWay out: cytolens clinic upg"):
        open_installation(empty)


def test_a_database_of_unknown_age_is_not_opened(empty: Settings, database: Database) -> None:
    Table.metadata.create_all(database.engine)
    with pytest.raises(InputError, match=r"older version of cytolens\.\nWay out: cytolens clinic"):
        open_installation(empty)


def test_an_upgrade_that_fails_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    made = op.create_table

    def fail_at_cases(name: str, *columns: object, **more: object) -> object:
        if name == "case":
            raise RuntimeError("no more")
        return made(name, *columns, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr("alembic.op.create_table", fail_at_cases)
        with pytest.raises(RuntimeError, match="no more"):
            migrations.upgrade(database)
    assert migrations.state(database) is State.EMPTY
    migrations.upgrade(database)
    assert migrations.state(database) is State.CURRENT


def test_a_server_that_is_down_is_said() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(InputError, match="The database cannot be opened"):
        migrations.state(database)
    database.close()


def test_the_versions_are_packaged() -> None:
    import tomllib
    from importlib.resources import files

    build = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert build["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/cytolens"]
    versions = files("cytolens.clinic.migrations") / "versions"
    assert (versions / f"v{migrations.latest()}_first.py").is_file()
