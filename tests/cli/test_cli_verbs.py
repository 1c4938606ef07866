"""Every verb does what its help says, and its JSON is strict."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cytolens.core.files import cache_dir

NAMES = {"sipakmed", "herlev", "mendeley_lbc", "breakhis", "generic"}


def test_data_list(cli: Any) -> None:
    listed = cli("data", "list", "--json").json()
    assert {known["name"] for known in listed} >= NAMES
    for known in listed:
        assert known["licence"] and known["obtain"] and known["group"]
    text = cli("data", "list").out
    assert all(f"{name}: " in text for name in NAMES)


def test_data_phantom(cli: Any, tmp_path: Path) -> None:
    arguments = ("data", "phantom", "--out", tmp_path / "set", "--images", 8, "--size", 48)
    ended = cli(*arguments, "--patients", 4)
    manifest = tmp_path / "set" / "manifest.csv"
    assert ended[:2] == (0, f"{manifest}: 8 images, 4 patients, 2 sites\n")
    with manifest.open() as table:
        assert len(list(csv.DictReader(table))) == 8
    refused = cli(*arguments, "--patients", 5)
    assert refused.code == 1 and "holds phantoms of other settings" in refused.err
    wrong = cli("data", "phantom", "--out", tmp_path / "b", "--tissue", "papp", "--size", 48)
    assert wrong.code == 1 and "did you mean 'pap'" in wrong.err
    caused = ("--cause", "texture", "--cause", "membrane")
    assert cli(*arguments[:3], tmp_path / "c", *arguments[4:], "--patients", 4, *caused).code == 0
    config = json.loads((tmp_path / "c" / "phantom.json").read_text())["config"]
    assert config["cause"] == ["texture", "membrane"]
    wrong = cli("data", "phantom", "--out", tmp_path / "d", "--size", 48, "--cause", "textur")
    assert wrong.code == 1
    assert "'textur' is no feature of 'pap' (did you mean 'texture'?)" in wrong.err


def test_data_import(cli: Any, phantoms: Path, tmp_path: Path) -> None:
    arguments = ("data", "import", "generic", phantoms / "images", "--out", tmp_path / "imported")
    assert cli(*arguments, "--json").json()["dataset"] == "generic"
    assert (tmp_path / "imported" / "manifest.csv").is_file()
    again = cli(*arguments)
    assert again.code == 1 and "Traceback" not in again.err
    assert cli(*arguments, "--overwrite").code == 0
    wrong = cli("data", "import", "herlef", phantoms, "--out", tmp_path / "other")
    assert wrong.code == 1 and "did you mean 'herlev'" in wrong.err


def test_data_audit(cli: Any, phantoms: Path, tmp_path: Path) -> None:
    ended = cli("data", "audit", phantoms, "--page", tmp_path / "audit.html")
    assert ended.code == 0 and "36 images" in ended.out
    assert "looking at the images: 36 done" in ended.err
    assert "<html" in (tmp_path / "audit.html").read_text(encoding="utf-8")
    audit = cli("data", "audit", phantoms, "--json").json()
    assert audit["images"] == 36 and audit["groups"]["count"] == 12 and audit["leaks"] == []
    (tmp_path / "file").touch()
    blocked = cli("data", "audit", phantoms, "--page", tmp_path / "file" / "audit.html")
    assert blocked.code == 1 and "a part of the path is a file" in blocked.err


def test_split_is_written_once_and_an_audit_finds_its_leaks(
    cli: Any, phantoms: Path, tmp_path: Path
) -> None:
    path = tmp_path / "split.json"
    arguments = ("split", phantoms, "--out", path, "--set", "folds=3", "--set", "validation=0.25")
    ended = cli(*arguments)
    assert ended.code == 0 and ended.out.endswith(f"{path}: unit group\n")
    assert len(json.loads(path.read_text())["folds"]) == 3
    again = cli(*arguments)
    assert again.code == 1
    assert f"{path} exists; a split is written once, and the file wins." in again.err
    assert cli("data", "audit", phantoms, "--split", path).code == 0
    typo = cli("split", phantoms, "--out", tmp_path / "b.json", "--set", "fold=3")
    assert typo.code == 1 and "fold: unknown key (did you mean 'folds'?)" in typo.err


def test_a_leak_is_status_3(cli: Any, phantoms: Path, tiny_toml: Path, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    quarter = ("--set", "validation=0.25")
    refused = cli("split", phantoms, "--out", path, "--set", "unit=image", *quarter)
    assert refused.code == 3 and "The split leaks" in refused.err and not path.exists()
    published = cli("split", phantoms, "--out", path, "--protocol", "published", *quarter)
    assert published.code == 0 and "LEAKS: " in published.out
    assert cli("data", "audit", phantoms, "--split", path).code == 3
    place = tmp_path / "runs" / "run"
    file = ("--set", "split.kind=file", "--set", f"split.file={path}")
    ended = cli("run", tiny_toml, "--data", phantoms, "--out", place, *file)
    assert ended.code == 3 and "The split leaks" in ended.err
    assert not list(place.parent.iterdir())


def test_recipes(cli: Any) -> None:
    found = cli("recipes", "--json").json()
    assert {"demo", "finetune", "frozen"} <= set(found)
    text = cli("recipes").out
    assert all(name in text and about in text for name, about in found.items())


def test_run_tells_its_scores_and_the_store_what_it_keeps(
    cli: Any, phantoms: Path, tiny_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("run", tiny_toml, "--data", phantoms, "--set", "protocol=published")
    place = Path("runs/tiny-phantoms")
    assert ended.code == 0 and ended.out.endswith(f"report             {place}/report.html\n")
    assert "accuracy" in ended.out and "LEAKS: " in ended.out
    for line in ("looking at the images: 36 done", "training fold 2 of 2: 2 done"):
        assert f"{line}\n" in ended.err
    [space] = cli("store", "info", "--json").json()
    assert space["rows"] == 36 and space["about"].startswith("cytolens_tiny freeze=all")
    assert str(cache_dir()) in cli("store", "info").out
    wrong = cli("store", "clear", "0")
    assert wrong.code == 1 and "The store has no space '0'" in wrong.err
    assert cli("store", "clear", space["space"]).out.endswith(" MiB freed.\n")
    assert cli("store", "info", "--json").json() == []
    assert cli("store", "clear").out == "0.0 MiB freed.\n"
    assert cli("store", "info").code == 0


def test_predict(cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path) -> None:
    good = cli("predict", tiny_run, phantoms / "images" / "NILM")
    rows = list(csv.DictReader(io.StringIO(good.out)))
    assert good.code == 0 and len(rows) == 9
    header = "image,label,p_HSIL,p_LSIL,p_NILM,p_SCC,problem"
    assert good.out.startswith(f"{header}\n") and {row["problem"] for row in rows} == {""}
    assert abs(sum(float(rows[0][f"p_{c}"]) for c in ("HSIL", "LSIL", "NILM", "SCC")) - 1) < 1e-5
    (tmp_path / "bad.png").write_bytes(b"x")
    shutil.copy(Path(rows[0]["image"]), tmp_path / "good.png")
    mixed = cli("predict", tiny_run, tmp_path, "--format", "json")
    assert mixed.code == 1 and "1 of 2 files could not be used." in mixed.err
    bad, fine = mixed.json()
    assert (bad["label"], bad["probabilities"]) == (None, {})
    assert bad["problem"] == "is not an image of a known format"
    assert fine["label"] == rows[0]["label"] and fine["problem"] == ""
    table = cli("predict", tiny_run, tmp_path)
    assert table.code == 1 and ",,,,,,is not an image of a known format\n" in table.out
    (tmp_path / "none").mkdir()
    assert "There are no images." in cli("predict", tiny_run, tmp_path / "none").err
    assert "There is no bundle at" in cli("predict", tmp_path, tmp_path / "good.png").err


def test_doctor(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {check["what"]: check for check in cli("doctor", "--json").json()}
    assert checks["torch"]["state"] == checks["OpenVINO"]["state"] == "ok"
    assert checks["ImageNet weights"]["state"] in ("ok", "note")
    text = cli("doctor")
    assert text.code == 0 and "ok       OpenVINO: agrees with torch to" in text.out
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    broken = cli("doctor")
    assert broken.code == 1 and "MISSING  torch: " in broken.out
