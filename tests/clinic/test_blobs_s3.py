"""Both stores of blobs keep one contract; a bucket's refusals are said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
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


def test_a_blob_that_was_changed_in_the_bucket(bucket: Any) -> None:
    store = S3Blobs("s3://images/p")
    sha256 = store.put(b"one")
    key = f"p/{sha256[:2]}/{sha256[2:4]}/{sha256}"
    assert bucket.head_object(Bucket="images", Key=key)["ContentLength"] == 3
    bucket.put_object(Bucket="images", Key=key, Body=b"other")
    with pytest.raises(BlobProblem, match="was changed after it was stored"):
        store.get(sha256)


def test_more_blobs_than_a_page_lists(bucket: Any) -> None:
    del bucket
    store = S3Blobs("s3://images/many")
    put = {store.put(str(n).encode()) for n in range(1005)}
    assert set(store.names()) == put
    assert list(S3Blobs("s3://images/man").names()) == []


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there() -> None:
    store = S3Blobs("s3://nowhere/p")
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


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InputError, match=r"needs boto3\.\nWay out: pip install 'cytolens\[s3\]'"):
        S3Blobs("s3://images")
