"""Small runs made quick: without their report, or with the features of an earlier test."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the slowest part of a small run."""

    def skip(run: Path) -> None:
        (run / "report.html").write_text("")

    monkeypatch.setattr("cytolens.experiments.run.write_run_report", skip)


@pytest.fixture(scope="session")
def common_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shared_cache(own_cache: Path, common_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Share facts and features between tests that ask for the same ones."""
    del own_cache  # asked for, so that ours comes after it
    monkeypatch.setenv("CYTOLENS_CACHE", str(common_cache))
