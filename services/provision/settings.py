"""The provisioner's settings."""

from pydantic import Field

from services.common.settings import KafkaSettings, S3Settings
from services.common.topics import PURCHASES


class TopicSettings(KafkaSettings):
    """How the topics are created. Names are those of every service."""

    # Partitions of the purchases topic: they limit the number of aggregators. An existing topic is never changed by
    # this setting; `grow` adds partitions.
    kafka_partitions: int = Field(default=PURCHASES.partitions, ge=1, le=1024)
    # Replicas of each partition. With three, a write is acknowledged by two, and one broker may be away.
    kafka_replication: int = Field(default=1, ge=1, le=7)
    # Retention of the purchases topic.
    kafka_retention_hours: float = Field(default=168, ge=1)
    # Retention of each topic in bytes, all partitions together; without it only time limits a topic.
    kafka_retention_bytes: int | None = Field(default=None, ge=16 * 1024**2)


class ProvisionSettings(TopicSettings, S3Settings):
    """Every field is set by `TILLSTREAM_<FIELD>`."""

    # Off where the bucket is created elsewhere, as on AWS; then nothing is asked of S3 at all.
    s3_create_bucket: bool = True
