"""Puts the job's files into the bucket, once a version."""

import hashlib
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from spark.submit.packing import pack_job
from spark.submit.runs import SubmitError

ENVIRONMENT = "environment.tar.gz"
_DIGEST = "sha256"


class Upload:
    """The folder `artifacts/VERSION/` of a bucket. `client`: boto3's for S3."""

    def __init__(self, client: Any, bucket: str, version: str) -> None:
        self._client = client
        self._bucket = bucket
        self._folder = f"artifacts/{version}"

    @property
    def uri(self) -> str:
        """The folder's address."""
        return f"s3://{self._bucket}/{self._folder}"

    def put(self, folder: Path) -> list[str]:
        """Pack the code, and upload what is not there yet; returns the names of what was uploaded.

        Raises SubmitError where a file of this version has other content: runs in progress may use it.
        """
        pack_job(folder)
        files = [folder / "main.py", folder / "tillstream.tar.gz"]
        environment = folder / ENVIRONMENT
        if environment.exists():
            files.append(environment)
        elif self._digest(ENVIRONMENT) is None:
            raise SubmitError(f"{environment} is missing: docs/aws.md says how to make it, under The job's environment")
        return [file.name for file in files if self._put(file)]

    def _put(self, file: Path) -> bool:
        digest = _digest_of(file)
        stored = self._digest(file.name)
        if stored == digest:
            return False
        if stored is not None:
            raise SubmitError(
                f"{self.uri}/{file.name} has other content, and a run may be using it: choose another version with "
                "TILLSTREAM_JOB_VERSION, or delete it"
            )
        self._client.upload_file(
            str(file), self._bucket, f"{self._folder}/{file.name}", ExtraArgs={"Metadata": {_DIGEST: digest}}
        )
        return True

    def _digest(self, name: str) -> str | None:
        """Of the stored file; empty where it was uploaded by other means, None where there is none."""
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=f"{self._folder}/{name}")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return str(found["Metadata"].get(_DIGEST, ""))


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, _DIGEST).hexdigest()
