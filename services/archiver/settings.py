"""The archiver's settings."""

from pydantic import Field

from services.common.settings import ArchiveSettings, KafkaSettings, Port, S3Settings, ServiceSettings


class ArchiverSettings(ServiceSettings, KafkaSettings, S3Settings, ArchiveSettings):
    """An object is closed at `archive_object_bytes` (compressed) or `archive_object_age_s`, whichever comes first."""

    metrics_port: Port = 9102
    archive_object_bytes: int = Field(default=5_000_000, ge=1)
    archive_object_age_s: float = Field(default=60.0, gt=0)
    # After so long without a heartbeat its partitions go to another archiver. Kafka accepts 6 s and more.
    archive_session_timeout_s: float = Field(default=10.0, ge=6, le=90)
