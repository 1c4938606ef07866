"""Bundles: installed, activated, retired; what is wrong is refused and leaves nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import shutil
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.bundle import bundle_id
from cytolens.bundle.archive import Archive, Limits
from cytolens.clinic.accounts import sessions
from cytolens.clinic.errors import Conflict, NotAllowed, NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import bundles, unpacking
from cytolens.clinic.tables import Entry, Model, User
from cytolens.clinic.web.app import create_app
from cytolens.clinic.web.guard import CSRF_HEADER

sys.path.append(str(Path(__file__).parents[1] / "bundle"))
from random_bundle import noise_images, teach, write_random_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bundle") / "bundle"
    write_random_bundle(made)
    teach(made, noise_images(60))
    return made


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("other") / "bundle"
    write_random_bundle(made, ("normal", "abnormal"), seed=1)
    return made


def _zip(folder: Path, target: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{inside}{path.name}")
    return target


def _actions(clinic: Installation) -> list[tuple[str, str]]:
    with clinic.reading() as db:
        entries = db.scalars(select(Entry).order_by(Entry.id)).all()
    return [(entry.action, entry.bundle) for entry in entries]


def test_class_names_that_cannot_be_kept_are_refused(
    clinic: Installation, people: People, tmp_path: Path
) -> None:
    write_random_bundle(tmp_path / "long", ("normal", "a" * 101))
    with pytest.raises(Refused, match="101 characters"):
        bundles.install(clinic, people.actors["administrator"], tmp_path / "long", "blood-smear")
    assert _actions(clinic) == [] and not list(clinic.settings.bundles.glob("[!.]*"))


@pytest.mark.parametrize("inside", ["", "bundle/", "run/bundle/"])
def test_a_zip_is_installed(
    clinic: Installation, people: Any, folder: Path, tmp_path: Path, inside: str
) -> None:
    actor = people.actors["administrator"]
    source = _zip(folder, tmp_path / "b.zip", inside)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(f"{inside}notes.md", "own notes")
    model, left = bundles.install(clinic, actor, source, "cervix-liquid")
    assert left == [f"{inside}notes.md"]
    assert (model.bundle, model.status) == (bundle_id(folder), "uploaded")
    kept = clinic.settings.bundles / model.bundle
    names = {path.name for path in folder.iterdir()}
    assert {path.name for path in kept.iterdir()} == names
    assert all((kept / name).read_bytes() == (folder / name).read_bytes() for name in names)
    assert [path.name for path in clinic.settings.bundles.iterdir()] == [model.bundle]
    assert _actions(clinic) == [("bundle.installed", model.bundle)]


def test_a_run_folder_is_installed_once(clinic: Installation, people: Any, folder: Path) -> None:
    actor = people.actors["administrator"]
    model, left = bundles.install(clinic, actor, folder.parent, "blood-smear")
    assert left == [] and model.card["classes"] == ["a", "b", "c"]
    with pytest.raises(Conflict, match="installed already, for blood-smear; it is uploaded"):
        bundles.install(clinic, actor, folder, "cervix-liquid")
    assert [path.name for path in clinic.settings.bundles.iterdir()] == [model.bundle]


def test_what_a_killed_upload_left_is_replaced(
    clinic: Installation, people: Any, folder: Path
) -> None:
    left = clinic.settings.bundles / bundle_id(folder)
    left.mkdir(parents=True)
    (left / "bundle.json").write_text("{")
    bundles.install(clinic, people.actors["administrator"], folder, "blood-smear")
    assert (left / "bundle.json").read_bytes() == (folder / "bundle.json").read_bytes()


def _lacking(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _tampered(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def _of_another_format(folder: Path) -> None:
    card = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(card | {"format": 99}))


def _climbing(folder: Path) -> None:
    card = json.loads((folder / "bundle.json").read_text())
    card["files"]["../evil.bin"] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(card))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "readme.md").write_text("nothing")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "spoil, said",
    [
        (_lacking, "lacks model.safetensors"),
        (_tampered, "is not the file that bundle.json describes"),
        (_of_another_format, "has the bundle format 99"),
        (_climbing, "names a file outside of it"),
        (_empty, "no bundle"),
    ],
)
def test_a_bundle_that_is_wrong_leaves_nothing(
    clinic: Installation,
    people: Any,
    folder: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    said: str,
    zipped: bool,
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    spoil(bad)
    source = _zip(bad, tmp_path / "b.zip") if zipped else bad
    with pytest.raises(Refused, match=said):
        bundles.install(clinic, people.actors["administrator"], source, "cervix-liquid")
    assert list(clinic.settings.bundles.iterdir()) == []
    assert _actions(clinic) == []


def test_no_zip_and_two_bundles_are_refused(
    clinic: Installation, people: Any, folder: Path, tmp_path: Path
) -> None:
    actor = people.actors["administrator"]
    text = tmp_path / "b.txt"
    text.write_text("no archive")
    with pytest.raises(Refused, match="is not a zip archive, or is damaged"):
        bundles.install(clinic, actor, text, "cervix-liquid")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.write(folder / "bundle.json", "a/bundle.json")
        archive.write(folder / "bundle.json", "b/bundle.json")
    with pytest.raises(Refused, match="holds 2 bundles"):
        bundles.install(clinic, actor, tmp_path / "two.zip", "cervix-liquid")
    with pytest.raises(Refused, match="no specimen type 'skin'"):
        bundles.install(clinic, actor, folder, "skin")


def _again(folder: Path, target: Path, **members: bytes) -> Path:
    """Pack a bundle whose members of these names (`model_safetensors`) are others, deflated."""
    named = {name.replace("_", "."): content for name, content in members.items()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr(path.name, named.get(path.name, path.read_bytes()))
    return target


@pytest.mark.parametrize(
    "members, limits, said",
    [
        (
            {"model_safetensors": bytes(8 << 20)},
            Limits(free=1 << 20),
            "model.safetensors in the archive inflates to more than 100 times its size",
        ),
        (
            {},
            Limits(member=1 << 10),
            "model.safetensors in the archive is larger than 0 MiB once inflated",
        ),
        ({}, Limits(total=10 << 10), "The bundle is too large"),
        ({"bundle_json": bytes(17 << 20)}, Limits(free=64 << 20), "bundle.json is too large"),
    ],
)
def test_a_zip_that_inflates_to_too_much_leaves_nothing(
    clinic: Installation,
    people: Any,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: dict[str, bytes],
    limits: Limits,
    said: str,
) -> None:
    if limits.member == 1 << 10:  # bundle.json itself must pass
        size = (folder / "bundle.json").stat().st_size
        limits = Limits(member=size, total=1 << 30)
        said = said.replace("0 MiB", f"{size / (1 << 20):,.0f} MiB")
    monkeypatch.setattr(unpacking, "_LIMITS", limits)
    source = _again(folder, tmp_path / "b.zip", **members)
    with pytest.raises(Refused, match=re.escape(said)):
        bundles.install(clinic, people.actors["administrator"], source, "cervix-liquid")
    assert list(clinic.settings.bundles.iterdir()) == [] and _actions(clinic) == []


def test_members_are_inflated_into_files_a_piece_at_a_time(folder: Path, tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, 24 << 20, dtype=np.uint8)
    card = json.loads((folder / "bundle.json").read_text())
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("bundle.json", json.dumps(card | {"files": {"model.onnx": "0" * 64}}))
        archive.writestr("model.onnx", large.tobytes())
    target = tmp_path / "unpacked"
    target.mkdir()
    tracemalloc.start()
    try:
        assert unpacking.unpack(tmp_path / "b.zip", target) == []
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert (target / "model.onnx").read_bytes() == large.tobytes()


def test_a_disk_that_is_full_is_said_and_nothing_is_left(
    clinic: Installation, people: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _zip(folder, tmp_path / "b.zip")

    def full(archive: Archive, member: Any, target: Path) -> None:
        del archive, member
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Archive, "extract", full)
    with pytest.raises(Refused, match=r"Cannot write the bundle at .*: the disk is full"):
        bundles.install(clinic, people.actors["administrator"], source, "cervix-liquid")
    assert list(clinic.settings.bundles.iterdir()) == []


def test_what_a_killed_server_unpacked_is_removed(clinic: Installation) -> None:
    left = clinic.settings.bundles / ".new.abcd" / "bundle"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    (clinic.settings.bundles / "0123456789ab").mkdir()
    assert unpacking.sweep_unfinished(clinic.settings) == 1
    assert [path.name for path in clinic.settings.bundles.iterdir()] == ["0123456789ab"]


def test_one_bundle_a_specimen_is_active(
    clinic: Installation, people: Any, folder: Path, other: Path
) -> None:
    actor = people.actors["administrator"]
    first, _ = bundles.install(clinic, actor, folder, "cervix-liquid")
    second, _ = bundles.install(clinic, actor, other, "cervix-liquid")
    with clinic.writing() as db:
        bundles.activate(db, actor, first.id)
    with clinic.writing() as db:
        bundles.activate(db, actor, second.id)
    with clinic.reading() as db:
        states = {m.bundle: m.status for m in bundles.installed(db, actor)}
        retired_at = db.get_one(Model, first.id).retired_at
    assert states == {first.bundle: "retired", second.bundle: "active"}
    assert retired_at is not None
    with clinic.reading() as db, pytest.raises(Conflict, match="active already"):
        bundles.activate(db, actor, second.id)
    with clinic.writing() as db:
        bundles.activate(db, actor, first.id)  # back to the one before
        bundles.retire(db, actor, first.id)
    with clinic.reading() as db, pytest.raises(Conflict, match="Only an active bundle"):
        bundles.retire(db, actor, first.id)
    assert _actions(clinic)[2:] == [
        ("bundle.activated", first.bundle),
        ("bundle.retired", first.bundle),
        ("bundle.activated", second.bundle),
        ("bundle.retired", second.bundle),
        ("bundle.activated", first.bundle),
        ("bundle.retired", first.bundle),
    ]


def test_others_may_not(clinic: Installation, people: Any, folder: Path) -> None:
    for name in ("doctor", "director"):
        with pytest.raises(NotAllowed):
            bundles.install(clinic, people.actors[name], folder, "cervix-liquid")
    with clinic.reading() as db, pytest.raises(NotFound):
        bundles.activate(db, people.actors["administrator"], 99)


def test_the_pages_from_upload_to_retirement(
    clinic: Installation,
    browser: Callable[[str | None], TestClient],
    folder: Path,
    tmp_path: Path,
) -> None:
    client = browser("administrator")
    assert "There is no bundle yet" in client.get("/bundles").text
    content = _zip(folder, tmp_path / "b.zip").read_bytes()
    answer = client.post(
        "/bundles", files={"file": ("b.zip", content)}, data={"specimen": "cervix-liquid"}
    )
    assert answer.status_code == 303, answer.text
    place = answer.headers["Location"].split("?")[0]
    shown = client.get(place)
    assert "Intended" in shown.text or "What it is" in shown.text
    assert bundle_id(folder) in shown.text and "Activate" in shown.text
    assert "style=" not in shown.text and "<script>" not in shown.text
    assert client.post(f"{place}/activate").status_code == 303
    assert "Retire" in client.get(place).text and "Active" in client.get("/bundles").text
    assert client.post(f"{place}/retire").status_code == 303
    again = client.post(
        "/bundles", files={"file": ("b.zip", content)}, data={"specimen": "cervix-liquid"}
    )
    assert again.status_code == 409 and "installed already" in again.text
    assert [p.name for p in clinic.settings.bundles.iterdir()] == [bundle_id(folder)]


@pytest.mark.parametrize(
    "files, fields, said",
    [
        ([], {"specimen": "cervix-liquid"}, "There are 0 files in this upload."),
        ([("file", ("a.zip", b"a")), ("file", ("b.zip", b"b"))], {}, "There are 2 files"),
        ([("other", ("a.zip", b"a"))], {"specimen": "cervix-liquid"}, "There are 0 files"),
        ([("file", ("a.zip", b"a"))], {"specimen": "cervix-liquid"}, "The archive "),
        ([("file", ("a.zip", b"a"))], {}, "There is no specimen type"),
        ([("file", ("a.zip", b"a"))], {"specimen": "c" * 10_001}, "too long"),
    ],
)
def test_what_is_no_bundle_is_refused_and_nothing_left(
    clinic: Installation,
    browser: Callable[[str | None], TestClient],
    files: list[tuple[str, tuple[str, bytes]]],
    fields: dict[str, str],
    said: str,
) -> None:
    client = browser("administrator")
    if not files:
        files = [("", ("", b""))]
    answer = client.post("/bundles", files=files, data=fields)
    assert answer.status_code in (413, 422) and said in answer.text, answer.text
    assert list((clinic.settings.data / "incoming").glob("*")) == []


def test_a_form_with_its_token_in_a_field_is_taken(
    clinic: Installation,
    browser: Callable[[str | None], TestClient],
    folder: Path,
    tmp_path: Path,
) -> None:
    client = browser("administrator")
    fields = {"csrf": client.headers.pop(CSRF_HEADER), "specimen": "cervix-liquid"}
    with _zip(folder, tmp_path / "b.zip").open("rb") as archive:
        answer = client.post("/bundles", files={"file": ("b.zip", archive)}, data=fields)
    assert answer.status_code == 303, answer.text
    assert list((clinic.settings.data / "incoming").glob("*")) == []


@pytest.mark.parametrize("name, status", [("doctor", 403), ("director", 403), (None, 401)])
@pytest.mark.parametrize("token", [True, False])
def test_nothing_is_read_of_an_upload_by_others(
    clinic: Installation, people: Any, name: str | None, status: int, token: bool
) -> None:
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"multipart/form-data; boundary=x"),
               (b"accept", b"application/json")]  # fmt: skip
    if name is not None:
        with clinic.writing() as db:
            opened = sessions.open_session(
                db, db.get_one(User, people.users[name]), clinic.settings,
                address="127.0.0.1", agent="tests", second_factor=True,
            )  # fmt: skip
        headers.append((b"cookie", f"{sessions.COOKIE}={opened.token}".encode()))
        if token:
            headers.append((CSRF_HEADER.lower().encode(), opened.csrf.encode()))
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the upload was read")

    async def send(message: Any) -> None:
        sent.append(message)

    for path in ("/bundles", "/api/v1/bundles"):
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "scheme": "http",
            "server": ("127.0.0.1", 8000), "http_version": "1.1", "root_path": "",
        }  # fmt: skip
        asyncio.run(create_app(clinic)(scope, receive, send))
        assert sent.pop(0)["status"] == status
        sent.clear()


def test_an_archive_beyond_the_limit_is_refused(
    clinic: Installation, browser: Callable[[str | None], TestClient]
) -> None:
    object.__setattr__(clinic.settings, "request_bytes", 1 << 20)
    answer = browser("administrator").post(
        "/bundles", files={"file": ("a.zip", bytes(2 << 20))}, data={"specimen": "cervix-liquid"}
    )
    assert answer.status_code == 413
    assert list((clinic.settings.data / "incoming").glob("*")) == []
