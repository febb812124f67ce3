"""S3 as Tillstream uses it: small objects, conditional writes, listings by prefix."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from services.common.settings import S3Settings
from services.common.storage_errors import AlreadyExists, NoSuchObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef


_KEPT_HEADERS = ("ContentType", "ContentEncoding")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it is stored. `headers`: type and encoding, by the names of S3's client."""

    body: bytes
    etag: str
    metadata: dict[str, str]
    headers: dict[str, str]


def s3_client(settings: S3Settings) -> "S3Client":
    """boto3's client of the settings."""
    secret = settings.s3_secret_key
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.aws_region,
        verify=str(settings.s3_ca_file) if settings.s3_ca_file else None,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            connect_timeout=3,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 4},
            s3={"addressing_style": "path"} if settings.s3_endpoint else None,
        ),
    )
    return client


class ObjectStore:
    """One bucket. Calls block: run them in a thread from async code (boto3 clients are thread-safe)."""

    def __init__(self, settings: S3Settings) -> None:
        self.bucket = settings.s3_bucket
        self._client = s3_client(settings)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def exists(self) -> bool:
        """Whether the bucket can be reached; False only where it does not exist."""
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if _status(error) == 404:
                return False
            raise
        return True

    def create_bucket(self) -> None:
        """Create the bucket if it does not exist (one machine only; on AWS it exists already)."""
        if not self.exists():
            self._client.create_bucket(Bucket=self.bucket)

    def get(self, key: str) -> bytes:
        """The whole object. Raises NoSuchObject."""
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """The whole object and the etag to `replace` it by. Raises NoSuchObject."""
        answer = self._get(key)
        return answer["Body"].read(), answer["ETag"]

    def get_stored(self, key: str) -> StoredObject:
        """The object with all that `rewrite` keeps of it. Raises NoSuchObject."""
        answer = self._get(key)
        headers = {name: str(answer[name]) for name in _KEPT_HEADERS if name in answer}  # type: ignore[literal-required]
        return StoredObject(answer["Body"].read(), answer["ETag"], answer["Metadata"], headers)

    def rewrite(self, key: str, body: bytes, stored: StoredObject) -> None:
        """Replace the body of an object as it was read; the rest stays. Raises AlreadyExists where it has changed."""
        self._conditional_put(key, body, stored.metadata, {"IfMatch": stored.etag, **stored.headers})

    def metadata(self, key: str) -> dict[str, str]:
        """The object's user metadata. Raises NoSuchObject."""
        try:
            return self._client.head_object(Bucket=self.bucket, Key=key)["Metadata"]
        except ClientError as error:
            if _status(error) == 404:
                raise NoSuchObject(key) from None
            raise

    def _get(self, key: str) -> "GetObjectOutputTypeDef":
        try:
            return self._client.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if _status(error) == 404:
                raise NoSuchObject(key) from None
            raise

    def put_new(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        """Create the object. Raises AlreadyExists where the key is taken."""
        self._conditional_put(key, body, metadata or {}, {"IfNoneMatch": "*"})

    def replace(self, key: str, body: bytes, etag: str) -> None:
        """Replace the object that has this etag. Raises AlreadyExists where it has changed."""
        self._conditional_put(key, body, {}, {"IfMatch": etag})

    def put(self, key: str, body: bytes) -> None:
        """Write the object, replacing any before it."""
        self._client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def list(self, prefix: str, start_after: str = "") -> Iterator[tuple[str, int]]:
        """Key and size of each object below the prefix, in key order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
        )
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["Size"]

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        self._client.delete_object(Bucket=self.bucket, Key=key)

    def _conditional_put(self, key: str, body: bytes, metadata: dict[str, str], condition: dict[str, Any]) -> None:
        try:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata, **condition)
        except ClientError as error:
            # 412 lost the race; 409 a concurrent conditional write; 404 IfMatch on a missing key.
            if _status(error) in (404, 409, 412) and error.response["Error"]["Code"] != "NoSuchBucket":
                raise AlreadyExists(key) from None
            raise


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
