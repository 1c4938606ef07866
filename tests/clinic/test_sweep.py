"""Blobs that nothing refers to go, once they are old; none that is named or being put does."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from cytolens.cli.main import app
from cytolens.clinic import clock, trail
from cytolens.clinic.actor import system
from cytolens.clinic.blobs import FolderBlobs, StoreAway, Stored
from cytolens.clinic.errors import NotAllowed, Refused
from cytolens.clinic.installation import Installation, open_blobs
from cytolens.clinic.management import ownership, retention, sweep
from cytolens.clinic.management.daily import Daily
from cytolens.clinic.tables import Entry, Image, Overlay, Reading, Report
from cytolens.core.files import read_json, write_json

TWO_DAYS = 2 * 86400


def _age(clinic: Installation) -> None:
    """Let all that lies in the store have been put two days ago."""
    assert isinstance(clinic.blobs, FolderBlobs)
    old = clock.now().timestamp() - TWO_DAYS
    for path in clinic.blobs.folder.glob("??/??/*"):
        os.utime(path, (old, old))


def _lines(clinic: Installation) -> list[dict[str, Any]]:
    with clinic.reading() as db:
        asked = select(Entry.details).where(Entry.action == "blobs.swept").order_by(Entry.id)
        return list(db.scalars(asked))


def _sweep(clinic: Installation, **more: Any) -> sweep.Swept:
    return sweep.sweep(clinic, system("tests"), **more)


@pytest.fixture
def named(clinic: Installation, people: Any, make: Any) -> set[str]:
    """The blobs of an image, its explanation and a report."""
    model, case = make.model(), make.case()
    image = make.image(case, model)
    now = clock.now()
    with clinic.writing() as db:
        row = db.get_one(Image, image)
        blobs = {row.sha256, row.thumbnail, *map(clinic.blobs.put, (b"map", b"raw", b"pdf"))}
        db.add(
            Overlay(
                image_id=image, model_id=model, method="grad_cam", target="abnormal", notes=[],
                overlay=clinic.blobs.put(b"map"), raw=clinic.blobs.put(b"raw"), created_at=now,
            )
        )  # fmt: skip
        reading = Reading(
            case_id=case, doctor_id=people.users["doctor"], category="NILM", verdict="agree",
            blind=False, created_at=now,
        )  # fmt: skip
        db.add(reading)
        db.flush()
        db.add(
            Report(
                case_id=case, version=1, status="final", reading_id=reading.id, content={},
                content_sha256="0" * 64, pdf=clinic.blobs.put(b"pdf"), bundles=[], created_at=now,
            )
        )  # fmt: skip
    return blobs


def test_orphans_are_counted_and_then_removed(clinic: Installation, named: set[str]) -> None:
    orphans = {clinic.blobs.put(b"killed"), clinic.blobs.put(b"killed too")}
    assert isinstance(clinic.blobs, FolderBlobs)
    half = clinic.blobs.folder / "ab" / "cd" / f".{'ab' * 32}.0123abcd.tmp"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"h")
    _age(clinic)
    young = clinic.blobs.put(b"of an upload that is under way")
    said = sweep.Swept(looked=8, orphans=2, bytes=16, unfinished=1, removed=False)
    assert _sweep(clinic) == said
    assert set(clinic.blobs.names()) == named | orphans | {young} and half.exists()
    assert _lines(clinic) == [] and sweep.is_due(clinic)
    assert _sweep(clinic, remove=True).orphans == 2
    assert set(clinic.blobs.names()) == named | {young} and not half.exists()
    [line] = _lines(clinic)
    assert (line["blobs"], line["bytes"], line["unfinished"]) == (2, 16, 1) and line["whole"]
    assert not sweep.is_due(clinic)
    assert _sweep(clinic, remove=True).orphans == 0


def test_how_old_is_chosen(clinic: Installation) -> None:
    sha256 = clinic.blobs.put(b"killed")
    _age(clinic)
    assert _sweep(clinic, remove=True, older=timedelta(days=3)).orphans == 0
    assert clinic.blobs.holds(sha256)
    with pytest.raises(Refused, match=r"0:30:00 is too short.*\n.*at least 1:00:00"):
        _sweep(clinic, older=timedelta(minutes=30))


def test_more_than_is_looked_for_together(
    clinic: Installation, named: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_AT_ONCE", 2)
    for number in range(7):
        clinic.blobs.put(str(number).encode())
    _age(clinic)
    assert _sweep(clinic, remove=True).orphans == 7
    assert set(clinic.blobs.names()) == named


def test_an_upload_of_the_same_bytes_meanwhile_keeps_them(
    clinic: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are put again after the sweep has found them to be nobody's, and before it removes."""
    sha256 = clinic.blobs.put(b"again")
    _age(clinic)
    found = sweep._orphans

    def then_put(installation: Installation, old: list[Stored]) -> list[Stored]:
        left = found(installation, old)
        assert [blob.sha256 for blob in left] == [sha256]
        installation.blobs.put(b"again")
        return left

    monkeypatch.setattr(sweep, "_orphans", then_put)
    assert _sweep(clinic, remove=True).orphans == 0
    assert clinic.blobs.get(sha256) == b"again"


def test_uploads_and_sweeps_at_once_lose_nothing(clinic: Installation) -> None:
    """Many put the same old bytes while others sweep: what a put has returned is there."""
    contents = [str(number).encode() for number in range(40)]
    for content in contents:
        clinic.blobs.put(content)
    _age(clinic)

    def put(content: bytes) -> bool:
        return clinic.blobs.get(clinic.blobs.put(content)) == content

    with ThreadPoolExecutor(4) as threads:
        sweeping = [threads.submit(_sweep, clinic, remove=False) for _ in range(2)]
        removing = threads.submit(_sweep, clinic, remove=True)
        assert all(threads.map(put, contents))
        assert [future.result().looked for future in [*sweeping, removing]]
    assert len(list(clinic.blobs.names())) == len(contents)


def test_what_retention_left_is_taken_too(clinic: Installation, named: set[str]) -> None:
    """Blobs of a removed image that were young when it was removed."""
    with clinic.writing() as db:
        image = db.scalars(select(Image)).one()
        image.removed_at = clock.now()
        gone = {image.sha256, image.thumbnail}
        overlay = db.scalars(select(Overlay)).one()
        gone |= {overlay.overlay, overlay.raw}
    _age(clinic)
    assert _sweep(clinic, remove=True).orphans == 4
    assert set(clinic.blobs.names()) == named - gone != set()


def test_a_store_that_goes_away_leaves_a_line_of_what_was_done(
    clinic: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = {clinic.blobs.put(b"one"), clinic.blobs.put(b"two")}
    _age(clinic)
    delete, done = clinic.blobs.delete_old, []

    def then_away(sha256: str, before: Any) -> bool:
        if done:
            raise StoreAway("The store is away.")
        done.append(sha256)
        return delete(sha256, before)

    with monkeypatch.context() as broken:
        broken.setattr(clinic.blobs, "delete_old", then_away)
        with pytest.raises(StoreAway):
            _sweep(clinic, remove=True)
    [line] = _lines(clinic)
    assert (line["blobs"], line["whole"]) == (1, False) and sweep.is_due(clinic)
    assert set(clinic.blobs.names()) == blobs - set(done)


def test_a_sweep_that_is_stopped_is_not_whole(clinic: Installation) -> None:
    clinic.blobs.put(b"one")
    _age(clinic)
    stop = Event()
    stop.set()
    assert _sweep(clinic, remove=True, stop=stop).orphans == 0
    assert _lines(clinic) == [] and sweep.is_due(clinic)


def test_a_database_that_is_not_the_stores_removes_nothing(
    clinic: Installation, named: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the file that an installation left when it moved to PostgreSQL."""
    monkeypatch.setattr(sweep, "_FEW", 3)
    blobs = {clinic.blobs.put(str(number).encode()) for number in range(4)}
    _age(clinic)
    assert _sweep(clinic).orphans == 4
    with pytest.raises(Refused, match=r"4 of 9 blobs are referred to by nothing.*\n.*--many"):
        _sweep(clinic, remove=True)
    assert set(clinic.blobs.names()) == named | blobs and _lines(clinic) == []
    assert _sweep(clinic, remove=True, many=True).orphans == 4


@pytest.mark.parametrize("head", [{"line": 5000}, {"hash": "0" * 64}])
def test_an_older_or_another_database_removes_nothing(
    clinic: Installation, named: set[str], head: dict[str, Any]
) -> None:
    """Few blobs, so that their share says nothing: the audit log knows."""
    lost = clinic.blobs.put(b"of rows that this database does not have")
    _age(clinic)
    with clinic.writing() as db:
        trail.record(db, system(), "case.viewed", "case", 1)
    write_json(clinic.head, read_json(clinic.head, "head") | head)
    with pytest.raises(Refused, match="lacks the audit line that was written last"):
        _sweep(clinic, remove=True, many=True)
    assert set(clinic.blobs.names()) == {*named, lost}


def test_who_may(clinic: Installation, people: Any) -> None:
    with pytest.raises(NotAllowed):
        sweep.sweep(clinic, people.actors["doctor"])
    assert sweep.sweep(clinic, people.actors["administrator"]).orphans == 0


def test_a_copy_does_not_sweep_the_store_of_another(clinic: Installation, tmp_path: Path) -> None:
    """A backup restored for a trial that names the first one's store."""
    object.__setattr__(clinic.settings, "blobs", str(tmp_path / "shared"))
    clinic.blobs = FolderBlobs(tmp_path / "shared")
    assert _sweep(clinic).orphans == 0 and clinic.blobs.owner() == ""
    _sweep(clinic, remove=True)
    assert clinic.blobs.owner() == (clinic.settings.data / "installation.id").read_text()
    clinic.blobs.set_owner("another")
    sha256 = clinic.blobs.put(b"one")
    _age(clinic)
    for remove in (False, True):
        with pytest.raises(Refused, match="is another installation's"):
            _sweep(clinic, remove=remove)
    with clinic.writing() as db:
        retention.choose(db, system(), 12)
    with pytest.raises(Refused, match="is another installation's"):
        retention.apply(clinic, system())
    assert clinic.blobs.holds(sha256)
    assert _sweep(clinic, remove=True, adopt=True).orphans == 1
    ownership.check(clinic)  # it is ours now


def test_a_bucket_is_swept(
    clinic: Installation, named: set[str], pass_time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    contents = [clinic.blobs.get(sha256) for sha256 in named]
    with moto.mock_aws():
        boto3.client("s3").create_bucket(Bucket="images")
        object.__setattr__(clinic.settings, "blobs", "s3://images/p")
        clinic.blobs = open_blobs(clinic.settings)
        for content in [*contents, *(str(number).encode() for number in range(1003))]:
            clinic.blobs.put(content)
        assert _sweep(clinic, remove=True).orphans == 0  # all of today
        pass_time(days=2)
        assert _sweep(clinic, remove=True, many=True) == sweep.Swept(1008, 1003, 2902, 0, True)
        assert set(clinic.blobs.names()) == named


def _wait_for(what: Any) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_server_does_it_by_itself_once_a_day(
    clinic: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = clinic.blobs.put(b"one")
    _age(clinic)
    tries: list[bool] = []
    look = sweep.is_due

    def away_at_first(installation: Installation) -> bool:
        tries.append(True)
        if len(tries) == 1:
            raise StoreAway("The store is away.")
        return look(installation)

    monkeypatch.setattr(sweep, "is_due", away_at_first)
    with Daily(clinic, first=0.01, look=0.02):
        _wait_for(lambda: _lines(clinic))
        assert not clinic.blobs.holds(first)
        second = clinic.blobs.put(b"two")
        _age(clinic)
        seen = len(tries)
        _wait_for(lambda: len(tries) > seen + 2)
    assert clinic.blobs.holds(second) and len(_lines(clinic)) == 1  # not twice a day
    with clinic.reading() as db:
        line = db.scalars(select(Entry).where(Entry.action == "blobs.swept")).one()
    assert line.username == "server"


def test_what_the_server_refuses_to_remove_is_left_for_a_person(
    clinic: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[bool] = []

    def refused(*given: object, **more: object) -> None:
        del given, more
        tries.append(True)
        raise Refused("The store is another installation's.")

    monkeypatch.setattr(sweep, "sweep", refused)
    with Daily(clinic, first=0.01, look=0.01):
        _wait_for(lambda: tries)
        time.sleep(0.2)
    assert len(tries) == 1  # and not again within the day
    assert "nothing is swept: The store is another installation's." in caplog.text


def _run(clinic: Installation, *words: str) -> Any:
    at = ["--data", str(clinic.settings.data)]
    if clinic.settings.database_url:
        at += ["--database-url", clinic.settings.database_url]
    return CliRunner().invoke(app, ["clinic", "sweep", *at, *words])


def test_the_command(clinic: Installation) -> None:
    sha256 = clinic.blobs.put(b"1" * 50_000)
    _age(clinic)
    counted = _run(clinic)
    assert counted.exit_code == 0, counted.output
    assert re.search(r"would remove +1 of 1 blobs \(0\.1 MB\) and 0 unfinished", counted.output)
    assert clinic.blobs.holds(sha256)
    assert "0 of 1" in _run(clinic, "--remove", "--older-than", "72").output
    removed = _run(clinic, "--remove")
    assert re.search(r"removed +1 of 1 blobs", removed.output), removed.output
    assert not clinic.blobs.holds(sha256)
    for words, said in (
        (["--older-than", "0.5"], "0.5 hours cannot be"),
        (["--older-than", "nan"], "nan hours cannot be"),
        (["--adopt"], "--adopt has no effect without --remove"),
        (["--many"], "--many has no effect without --remove"),
    ):
        refused = _run(clinic, *words)
        assert refused.exit_code != 0 and said in str(refused.exception or refused.output)
