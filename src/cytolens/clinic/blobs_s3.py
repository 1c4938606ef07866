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
from typing import Any

from cytolens.clinic.blobs import BlobProblem, StoreAway, checked
from cytolens.core.errors import InputError

SCHEME = "s3://"
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Blobs:
    """Blobs below a prefix of a bucket, `PREFIX/ab/cd/abcd…`; safe to share between threads.

    Args:
        url: `s3://BUCKET` or `s3://BUCKET/PREFIX`.

    Raises:
        InputError: no such URL; boto3 is not installed; no credentials or region.
    """

    def __init__(self, url: str) -> None:
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        if not url.startswith(SCHEME) or not bucket:
            raise InputError(f"{url} names no bucket.", expected="s3://BUCKET/PREFIX")
        self._bucket, self._prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _client()

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content)
        with self._told("written"):
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
        """Remove a blob that was last put before a moment; tell whether it was removed.

        `put` always writes, which makes a blob new. The store offers no way to delete only what is
        still old: who puts the very same bytes in the milliseconds between asking and deleting
        loses them; images are otherwise put within the day that `before` leaves.
        """
        at = self._put_at(sha256)
        if at is None or at >= before:
            return False
        self.delete(sha256)
        return True

    def names(self) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        with self._told("listed"):
            for page in pages:
                for found in page.get("Contents", ()):
                    name = found["Key"].rpartition("/")[2]
                    if found["Key"] == self._prefix + f"{name[:2]}/{name[2:4]}/{name}":
                        yield name

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
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
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
