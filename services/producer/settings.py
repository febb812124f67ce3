"""What the environment decides for the producer; the rest is on its command line."""

from typing import Annotated

from pydantic import Field

from services.common.settings import DeadLetterLimits, EventSettings, KafkaSettings, ServiceSettings


class ProducerSettings(ServiceSettings, KafkaSettings, EventSettings, DeadLetterLimits):
    """`metrics_port` 0 switches telemetry off. `kafka_patience_s` bounds a wait without any acknowledgement."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9101
    kafka_patience_s: float = Field(default=120.0, gt=0)
