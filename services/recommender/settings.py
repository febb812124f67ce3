"""The recommender's settings."""

from pydantic import Field

from recsys.variety import Variety
from services.common.settings import EventSettings, KafkaSettings, Port, S3Settings, ServiceSettings


class RecommenderSettings(ServiceSettings, KafkaSettings, S3Settings, EventSettings):
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
    # A new model answers as soon as it knows the stream, or makes no progress for so long (Kafka away).
    recommender_patience_s: float = Field(default=5.0, ge=0)
    # Variety of the first ten products of an answer: likeness against relevance, 0 to 1; 0 is no re-ranking but for the
    # limits below. Requests with `alike` get the best by score alone.
    recommendations_variety: float = Field(default=0.0, ge=0, le=1)
    # No two are of the same name and category, or of the same category with nearly the same factors.
    recommendations_no_alike: bool = True
    # At most so many of one brand, and of one category; 0: any number.
    recommendations_same_brand: int = Field(default=0, ge=0, le=100)
    recommendations_same_category: int = Field(default=0, ge=0, le=100)
    # Share of the customers whose answers are recorded in topic `recommendations`; 0: none.
    recommendations_share: float = Field(default=0.1, ge=0, le=1)

    @property
    def variety(self) -> Variety:
        """The settings of variety as the recommender takes them."""
        return Variety(
            self.recommendations_variety,
            self.recommendations_same_brand,
            self.recommendations_same_category,
            self.recommendations_no_alike,
        )
