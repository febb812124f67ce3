"""What the environment decides for the work with dead letters; the rest is on the command line."""

from services.common.settings import EventSettings, KafkaSettings, RedisSettings


class DeadLettersSettings(KafkaSettings, RedisSettings, EventSettings):
    """Every field is set by `TILLSTREAM_<FIELD>`. Redis is only asked which dead letters were replayed."""
