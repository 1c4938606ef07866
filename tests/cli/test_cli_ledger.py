"""`cytolens ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cytolens.experiments.run.write_run_report",
        lambda run: (run / "report.html").write_text(""),
    )


def test_ledger(cli: Any, phantoms: Path, tiny_toml: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    command = ("ledger", phantoms, "--recipe", tiny_toml, "--out", folder)
    ended = cli(*command, "--set", "training.epochs=1")
    assert ended.code == 0, ended.err
    assert "By image  LEAKS" in ended.out and "not run: no magnification" in ended.out
    assert "Grouped (reference) " in ended.out
    assert f"{folder / 'ledger.html'}" in ended.out
    found = cli(*command, "--set", "training.epochs=1", "--json").json()
    assert found["rows"][0]["run"] == "grouped"
    refused = cli(*command)
    assert refused.code == 1 and "holds a ledger with another recipe" in refused.err


def test_ledger_refuses_another_kind_of_split(
    cli: Any, phantoms: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ledger"
    ended = cli(
        "ledger", phantoms, "--recipe", tiny_toml, "--out", folder, "--set", "split.kind=lodo"
    )
    assert ended.code == 1 and "The ledger makes its own splits" in ended.err
    assert not folder.exists()
