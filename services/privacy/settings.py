"""Settings of the privacy command line."""

from services.common.settings import EventSettings, KafkaSettings, RedisSettings, S3Settings, ServiceSettings


class PrivacySettings(ServiceSettings, KafkaSettings, RedisSettings, S3Settings, EventSettings):
    """Where all that is held of a customer is, and how events are read."""
