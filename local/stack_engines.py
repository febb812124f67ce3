"""The engines that the stack starts itself: those that the settings name no address of."""

from local.engines import Engine, KafkaEngine, S3Engine, ValkeyEngine
from local.layout import Layout
from local.settings import StackSettings


def own_engines(layout: Layout, asked: StackSettings, *, die_with_parent: bool) -> list[Engine]:
    """In the order in which they start."""
    engines: list[Engine] = []
    if not asked.kafka_bootstrap:
        folder, log = layout.engine("kafka"), layout.log("kafka")
        engines.append(KafkaEngine(folder, log, asked.kafka_port, die_with_parent=die_with_parent))
    if not asked.redis_url:
        engines.append(_valkey(layout, asked, die_with_parent))
    if not asked.s3_endpoint:
        folder, log, metrics = layout.engine("s3"), layout.log("s3"), asked.s3_metrics_port
        engines.append(S3Engine(folder, log, asked.s3_port, die_with_parent=die_with_parent, metrics_port=metrics))
    return engines


def _valkey(layout: Layout, asked: StackSettings, die_with_parent: bool) -> ValkeyEngine:
    return ValkeyEngine(
        layout.engine("redis"),
        layout.log("valkey"),
        asked.redis_port,
        die_with_parent=die_with_parent,
        max_memory=asked.redis_max_memory,
        password_file=layout.redis_password,
    )
