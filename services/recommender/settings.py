"""The recommender's settings."""

from pydantic import Field

from services.common.settings import Port, S3Settings, ServiceSettings


class RecommenderSettings(ServiceSettings, S3Settings):
    """Where to listen, and how often to look for a new model."""

    recommender_port: Port = 50051
    metrics_port: Port = 9104
    model_poll_s: float = Field(default=2.0, gt=0, le=3600)
    # Requests beyond this are answered RESOURCE_EXHAUSTED at once rather than queued for longer than anyone waits.
    recommender_max_concurrent: int = Field(default=1000, ge=1)
