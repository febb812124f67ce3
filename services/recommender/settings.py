"""The recommender's settings."""

from pydantic import Field

from recsys.variety_settings import VarietySettings
from services.common.settings import EventSettings, KafkaSettings, Port, S3Settings, ServiceSettings


class RecommenderSettings(ServiceSettings, KafkaSettings, S3Settings, EventSettings, VarietySettings):
    """Where to listen, how often to look for a new model, and how much to remember of the stream."""

    recommender_port: Port = 50051
    metrics_port: Port = 9104
    model_poll_s: float = Field(default=2.0, gt=0, le=3600)
    # Requests beyond this are answered RESOURCE_EXHAUSTED at once rather than queued for longer than anyone waits.
    recommender_max_concurrent: int = Field(default=1000, ge=1)
    # A client's connection ends after so long, without an error: it asks DNS again, and finds replicas that are new.
    recommender_connection_seconds: float = Field(default=60.0, ge=1)
    # Rows for products that are sold for the first time after the model was trained; beyond them such products wait
    # for the next model. A row takes some 600 bytes at rank 64.
    recommender_spare_products: int = Field(default=10_000, ge=0, le=10_000_000)
    # Of these rows so many may go to products of the catalogue that nobody has bought yet: in stock, with a category.
    recommender_unsold_products: int = Field(default=1_000, ge=0, le=10_000_000)
    # A new model answers as soon as it knows the stream, or makes no progress for so long (Kafka away).
    recommender_patience_s: float = Field(default=5.0, ge=0)
    # Share of the customers whose answers are recorded in topic `recommendations`; 0: none.
    recommendations_share: float = Field(default=0.1, ge=0, le=1)
