"""Two finished runs, each written and reported once; the helpers beside are importable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cytolens.report.run_report import write_run_report

sys.path.append(str(Path(__file__).parent))  # for fake_run and page_check

LEAKS = ("24 patients stand in both the training and the test part",)


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fake_run import write_fake_run

    run = write_fake_run(tmp_path_factory.mktemp("runs") / "honest")
    write_run_report(run)
    return run


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fake_run import Fake, write_fake_run

    fake = Fake(
        skill=3.4, protocol="published", leaks=LEAKS, notes=("the small backbone stood in",)
    )
    run = write_fake_run(tmp_path_factory.mktemp("runs") / "published", fake)
    write_run_report(run)
    return run
