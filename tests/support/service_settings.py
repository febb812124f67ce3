"""The environment of services that run on the engines of a test."""

from services.common.settings import S3Settings
from tests.support.engines import TopicNames


def service_variables(
    kafka: str, redis_url: str, names: TopicNames, s3: S3Settings, **settings: object
) -> dict[str, str]:
    """`TILLSTREAM_*` for every service of a shop with topics, tables and bucket of its own; `settings` come on top."""
    assert s3.s3_secret_key is not None
    shared = {
        "kafka_bootstrap": kafka,
        "redis_url": redis_url,
        "purchases_topic": names.purchases,
        "dead_letters_topic": names.dead_letters,
        "aggregator_group": names.purchases,
        "archive_group": f"{names.purchases}-archive",
        "archive_object_age_s": "1",
        "s3_endpoint": s3.s3_endpoint,
        "s3_bucket": s3.s3_bucket,
        "s3_access_key": s3.s3_access_key,
        "s3_secret_key": s3.s3_secret_key.get_secret_value(),
    }
    return {f"TILLSTREAM_{name.upper()}": str(value) for name, value in {**shared, **settings}.items()}
