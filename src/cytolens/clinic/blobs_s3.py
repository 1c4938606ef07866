"""Blobs in a bucket of an S3-compatible store; needs boto3 (`pip install 'cytolens[s3]'`).

Keys, region and endpoint come from where boto3 looks for them: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3, its configuration files, the machine's role.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cytolens.clinic.blobs import OWNER, BlobProblem, StoreAway, Stored, checked, is_sha256
from cytolens.core.errors import InputError
from cytolens.core.files import lock

SCHEME = "s3://"
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Blobs:
    """Blobs below a prefix of a bucket, `PREFIX/ab/cd/abcd…`; safe to share between threads.

    A store cannot be asked to delete a blob only while it is still old: whoever put the same bytes
    between the question and the deletion would lose them. So puts share a lock, and a deletion has
    it alone while it asks and deletes. It is a file of the installation, whose server, workers and
    commands are the only ones that write below the prefix.

    Args:
        url: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
        turns: the lock's file; made at its first use.

    Raises:
        InputError: no such URL; boto3 is not installed; no credentials or region.
    """

    def __init__(self, url: str, turns: Path) -> None:
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        if not url.startswith(SCHEME) or not bucket:
            raise InputError(f"{url} names no bucket.", expected="s3://BUCKET/PREFIX")
        self._bucket, self._prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._turns = turns
        self._client = _client()

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content)
        with lock(self._turns, "", wait=True, shared=True), self._told("written"):
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(digest.hexdigest()),
                Body=content,
                # the store refuses what arrives otherwise than it was sent
                ChecksumSHA256=base64.b64encode(digest.digest()).decode("ascii"),
            )
        return digest.hexdigest()

    def get(self, sha256: str) -> bytes:
        key = self._key(sha256)
        with self._told("read", sha256):
            content: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return checked(sha256, content)

    def holds(self, sha256: str) -> bool:
        return self._put_at(sha256) is not None

    def delete(self, sha256: str) -> None:
        key = self._key(sha256)
        with self._told("removed"):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def delete_old(self, sha256: str, before: datetime) -> bool:
        with lock(self._turns, "", wait=True):  # `put` always writes, which makes a blob new
            at = self._put_at(sha256)
            if at is None or at >= before:
                return False
            self.delete(sha256)
            return True

    def names(self) -> Iterator[str]:
        for blob in self.stored():
            yield blob.sha256

    def stored(self) -> Iterator[Stored]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        with self._told("listed"):
            for page in pages:
                for found in page.get("Contents", ()):
                    name = found["Key"].rpartition("/")[2]
                    if is_sha256(name) and found["Key"] == self._key(name):
                        yield Stored(name, found["LastModified"], found["Size"])

    def unfinished(self, before: datetime, *, remove: bool) -> int:
        del before, remove
        return 0  # the store shows an object when it is whole

    def owner(self) -> str:
        from botocore.exceptions import ClientError

        key = self._prefix + OWNER
        with self._told("looked for"):
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return ""
                raise
        name: str = found.decode("utf-8")
        return name

    def set_owner(self, name: str) -> None:
        key = self._prefix + OWNER
        with self._told("written"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=name.encode("utf-8"))

    def _put_at(self, sha256: str) -> datetime | None:
        """Return when a blob was last put; None: it is not there."""
        from botocore.exceptions import ClientError

        key = self._key(sha256)
        with self._told("looked for"):
            try:
                head = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise
        at: datetime = head["LastModified"]
        return at

    def _key(self, sha256: str) -> str:
        if not is_sha256(sha256):
            raise BlobProblem("That is no SHA-256.")
        return f"{self._prefix}{sha256[:2]}/{sha256[2:4]}/{sha256}"

    @contextmanager
    def _told(self, what: str, sha256: str = "") -> Iterator[None]:
        """Turn the store's refusals into a `BlobProblem`; all but a missing blob may pass by."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MISSING and sha256:
                raise BlobProblem(f"The blob {sha256} is missing.") from error
            raise StoreAway(
                f"A blob could not be {what} in the bucket {self._bucket}: {code}."
            ) from error
        except BotoCoreError as error:
            raise StoreAway(
                f"A blob could not be {what}, the store cannot be reached: {error}"
            ) from error


def _client() -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise InputError(
            "A store of the kind s3:// needs boto3.", fix="pip install 'cytolens[s3]'"
        ) from error
    settings = Config(
        connect_timeout=5, read_timeout=60, retries={"max_attempts": 3, "mode": "standard"}
    )
    try:
        return boto3.client("s3", config=settings)
    except (BotoCoreError, ValueError) as error:
        raise InputError(
            f"The store cannot be used: {error}",
            fix="set AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL_S3 "
            "for a store that is not Amazon's.",
        ) from error
