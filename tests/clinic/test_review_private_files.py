"""Who else has an account on the machine reads nothing of the clinic's files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clinic.conftest import Maker
from typer.testing import CliRunner

from cytolens.cli.main import app
from cytolens.clinic import backup
from cytolens.clinic.installation import Installation
from cytolens.clinic.settings import Settings
from cytolens.core.progress import Silent


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022


def _open_to_others(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder.parent))
        for path in [folder, *folder.rglob("*")]
        if path.stat().st_mode & 0o077
    ]


def test_what_is_restored_is_its_owners(clinic: Installation, make: Maker, tmp_path: Path) -> None:
    if not clinic.database.is_sqlite:
        pytest.skip("the files are the same")
    make.image(make.case())
    saved = tmp_path / "saved.tar"
    backup.back_up(clinic, saved, with_secret=True, progress=Silent())
    place = tmp_path / "again"
    backup.restore(saved, Settings(place, blobs=str(tmp_path / "store")), progress=Silent())
    assert _open_to_others(place) == []
    assert _open_to_others(tmp_path / "store") == []


def test_what_an_upgrade_makes_is_its_owners(tmp_path: Path) -> None:
    place = tmp_path / "made"
    assert CliRunner().invoke(app, ["clinic", "upgrade", "--data", str(place)]).exit_code == 0
    assert (place / "clinic.sqlite").exists() and _open_to_others(place) == []
