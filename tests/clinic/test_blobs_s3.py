"""Both stores of blobs keep one contract; a bucket's refusals are said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest

from cytolens.clinic import clock
from cytolens.clinic.blobs import BlobProblem, Blobs, FolderBlobs
from cytolens.clinic.blobs_s3 import S3Blobs
from cytolens.clinic.installation import open_blobs
from cytolens.clinic.settings import Settings
from cytolens.core.errors import InputError

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
NONE = "0" * 64


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="images")
        yield client


@pytest.fixture(params=["folder", "s3://images", "s3://images/a/b/"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return FolderBlobs(tmp_path / "blobs")
    request.getfixturevalue("bucket")
    return open_blobs(Settings(tmp_path, blobs=request.param))


def test_what_is_put_is_there_once(store: Blobs) -> None:
    first, second = store.put(b"one"), store.put(b"two")
    assert store.put(b"one") == first
    assert store.get(first) == b"one" and store.get(second) == b"two"
    assert store.holds(first) and not store.holds(NONE)
    assert sorted(store.names()) == sorted([first, second])
    store.delete(first)
    store.delete(first)  # already gone
    assert list(store.names()) == [second] and not store.holds(first)


def test_an_empty_blob(store: Blobs) -> None:
    assert store.get(store.put(b"")) == b""


def test_missing_and_no_hash(store: Blobs) -> None:
    with pytest.raises(BlobProblem, match=f"The blob {NONE} is missing"):
        store.get(NONE)
    for name in ("../../etc/passwd", "A" * 64, "", "0" * 63):
        with pytest.raises(BlobProblem, match="That is no SHA-256"):
            store.get(name)


def test_only_old_blobs_are_removed(store: Blobs) -> None:
    sha256, now = store.put(b"one"), clock.now()
    assert not store.delete_old(sha256, now - timedelta(days=1))
    assert store.holds(sha256)
    assert store.delete_old(sha256, now + timedelta(days=1))
    assert not store.holds(sha256)
    assert not store.delete_old(sha256, now + timedelta(days=1))


def test_what_is_stored_is_listed_with_time_and_size(store: Blobs) -> None:
    started = clock.now() - timedelta(seconds=2)
    put = {store.put(b"one"): 3, store.put(b"three"): 5}
    store.set_owner("somebody")  # lies beside the blobs, and is none
    listed = list(store.stored())
    assert {blob.sha256: blob.bytes for blob in listed} == put
    assert all(started < blob.at <= clock.now() + timedelta(seconds=2) for blob in listed)


def test_whose_a_store_is(store: Blobs) -> None:
    assert store.owner() == ""
    store.set_owner("one")
    store.set_owner("two")
    assert store.owner() == "two"


def test_puts_that_were_killed(tmp_path: Path) -> None:
    store = FolderBlobs(tmp_path / "blobs")
    sha256 = store.put(b"one")
    folder = tmp_path / "blobs" / sha256[:2] / sha256[2:4]
    (folder / f".{sha256}.0123abcd.tmp").write_bytes(b"o")
    (folder / "notes.txt").write_text("somebody's own")
    now = clock.now()
    assert store.unfinished(now - timedelta(days=1), remove=True) == 0
    assert store.unfinished(now + timedelta(days=1), remove=False) == 1
    assert store.unfinished(now + timedelta(days=1), remove=True) == 1
    assert sorted(path.name for path in folder.iterdir()) == sorted([sha256, "notes.txt"])


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_nobody_loses_a_blob_between_the_question_and_its_removal(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who puts the same bytes while a removal has begun waits, and then has them."""
    if kind == "s3":
        request.getfixturevalue("bucket")
    blobs = "s3://images/p" if kind == "s3" else ""
    removing, putting = (open_blobs(Settings(tmp_path, blobs=blobs)) for _ in range(2))
    sha256 = removing.put(b"one")
    asked, go_on = Event(), Event()
    if isinstance(removing, S3Blobs):
        question = removing._put_at

        def hesitate(name: str) -> Any:
            at = question(name)
            asked.set()
            assert go_on.wait(10)
            return at

        monkeypatch.setattr(removing, "_put_at", hesitate)
    else:
        unlink = Path.unlink

        def slowly(path: Path, missing_ok: bool = False) -> None:
            if path.name == sha256:
                asked.set()
                assert go_on.wait(10)
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", slowly)
    with ThreadPoolExecutor(2) as threads:
        removed = threads.submit(removing.delete_old, sha256, clock.now() + timedelta(days=1))
        assert asked.wait(10)
        put = threads.submit(putting.put, b"one")
        with pytest.raises(TimeoutError):
            put.result(0.3)
        go_on.set()
        assert removed.result(10) and put.result(10) == sha256
    assert putting.get(sha256) == b"one"


def test_puts_do_not_wait_for_each_other(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del bucket
    store = S3Blobs("s3://images/p", tmp_path / "lock")
    meeting, send = Barrier(2, timeout=10), store._client.put_object

    def together(**more: Any) -> Any:
        meeting.wait()
        return send(**more)

    monkeypatch.setattr(store._client, "put_object", together)
    with ThreadPoolExecutor(2) as threads:
        put = set(threads.map(store.put, (b"one", b"two")))
    assert {blob.sha256 for blob in store.stored()} == put


def test_a_blob_that_was_changed_in_the_bucket(bucket: Any, tmp_path: Path) -> None:
    store = S3Blobs("s3://images/p", tmp_path / "lock")
    sha256 = store.put(b"one")
    key = f"p/{sha256[:2]}/{sha256[2:4]}/{sha256}"
    assert bucket.head_object(Bucket="images", Key=key)["ContentLength"] == 3
    bucket.put_object(Bucket="images", Key=key, Body=b"other")
    with pytest.raises(BlobProblem, match="was changed after it was stored"):
        store.get(sha256)


def test_more_blobs_than_a_page_lists(bucket: Any, tmp_path: Path) -> None:
    del bucket
    store = S3Blobs("s3://images/many", tmp_path / "lock")
    put = {store.put(str(n).encode()) for n in range(1005)}
    assert set(store.names()) == put
    assert list(S3Blobs("s3://images/man", tmp_path / "lock").names()) == []


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    store = S3Blobs("s3://nowhere/p", tmp_path / "lock")
    with pytest.raises(BlobProblem, match="could not be written in the bucket nowhere: NoSuchBuck"):
        store.put(b"one")
    with pytest.raises(BlobProblem, match="could not be listed in the bucket nowhere"):
        list(store.names())


@pytest.mark.parametrize("url", ["s3://", "s3:///p"])
def test_a_url_without_a_bucket(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="names no bucket"):
        open_blobs(Settings(tmp_path, blobs=url))


def test_another_kind_of_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no store of blobs"):
        open_blobs(Settings(tmp_path, blobs="ftp://images"))


def test_without_boto3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InputError, match=r"needs boto3\.\nWay out: pip install 'cytolens\[s3\]'"):
        S3Blobs("s3://images", tmp_path / "lock")
