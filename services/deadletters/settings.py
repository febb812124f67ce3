"""What the environment decides for the work with dead letters; the rest is on the command line."""

from services.common.settings import KafkaSettings, RedisSettings, Settings


class DeadLettersSettings(KafkaSettings, RedisSettings, Settings):
    """Every field is set by `TILLSTREAM_<FIELD>`. Redis is only asked which dead letters were replayed."""
