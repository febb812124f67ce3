"""The engines of one machine: Apache Kafka, Valkey and SeaweedFS's S3, as processes without Docker or root."""

from local.engines.engine import Engine, NotReady
from local.engines.kafka import KafkaEngine
from local.engines.seaweedfs import S3Engine
from local.engines.valkey import ValkeyEngine

__all__ = ["Engine", "KafkaEngine", "NotReady", "S3Engine", "ValkeyEngine"]
