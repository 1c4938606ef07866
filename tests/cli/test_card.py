"""`cytolens card`: printed, written, refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from cytolens.bundle import bundle_id, load_bundle


def test_the_card_is_printed(cli: Any, tiny_run: Path) -> None:
    ended = cli("card", tiny_run)
    assert ended.code == 0 and ended.err == ""
    assert ended.out == (tiny_run / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert ended.out.startswith("# cytolens_tiny on phantoms, version 1.0.0\n")
    assert cli("card", tiny_run / "bundle").out == ended.out


def test_the_card_is_written_elsewhere(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    ended = cli("card", tiny_run, "--out", tmp_path / "card")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"model card         {tmp_path}/card/MODEL_CARD.md",
        f"model card         {tmp_path}/card/model_card.html",
    ]
    for path in (tmp_path / "card").iterdir():
        assert path.read_bytes() == (tiny_run / "bundle" / path.name).read_bytes()


def test_the_card_of_the_bundle_itself_is_written_anew(
    cli: Any, tiny_run: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_run / "bundle", tmp_path / "bundle"))
    before = bundle_id(folder)
    assert cli("card", folder, "--out", folder).code == 0
    assert bundle_id(folder) == before
    assert load_bundle(folder).classes


def test_what_cannot_be_read_or_written(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    ended = cli("card", tmp_path / "none")
    assert (ended.code, ended.out) == (1, "")
    assert "There is no bundle at" in ended.err
    (tmp_path / "file").touch()
    ended = cli("card", tiny_run, "--out", tmp_path / "file")
    assert ended.code == 1 and "Cannot write the model card at" in ended.err
    assert cli("card").code == 2
