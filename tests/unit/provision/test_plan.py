"""What the topics should be like, and how one that exists differs."""

from dataclasses import replace

import pytest

from services.common.topics import ALL
from services.provision.plan import FoundTopic, config_differences, configured, planned, shape_differences
from services.provision.settings import TopicSettings

GIB = 1024**3


def as_planned(settings: TopicSettings) -> FoundTopic:
    topic = planned(settings)[0]
    return FoundTopic(topic.partitions, settings.kafka_replication, topic.config, topic.config)


def test_the_topics_are_those_of_the_contract() -> None:
    topics = planned(TopicSettings())
    assert [(topic.name, topic.partitions, topic.config) for topic in topics] == [
        (topic.name, topic.partitions, topic.config) for topic in ALL
    ]


def test_settings_decide_on_names_partitions_and_retention() -> None:
    settings = TopicSettings(purchases_topic="sales", kafka_partitions=12, kafka_retention_hours=24)
    purchases, dead_letters, *_ = planned(settings)
    assert (purchases.name, purchases.partitions, purchases.config["retention.ms"]) == ("sales", 12, "86400000")
    assert (dead_letters.partitions, dead_letters.config["retention.ms"]) == (4, "2592000000")


def test_a_bound_in_bytes_is_shared_by_the_partitions_that_a_topic_has() -> None:
    settings = TopicSettings(kafka_retention_bytes=8 * GIB)
    (purchases, *_) = planned(settings)
    assert purchases.config["retention.bytes"] == str(2 * GIB)
    assert purchases.config["segment.bytes"] == str(GIB // 4)
    assert configured(purchases, 8, settings).config["retention.bytes"] == str(GIB)


def test_a_catalogue_is_never_bounded_by_its_bytes_or_age() -> None:
    settings = TopicSettings(products_topic="articles", kafka_partitions=12, kafka_retention_bytes=GIB)
    products = planned(settings)[-1]
    assert (products.name, products.partitions) == ("articles", 1)
    assert products.config["cleanup.policy"] == "compact"
    assert not products.config.keys() & {"retention.ms", "retention.bytes"}


def test_with_three_replicas_two_acknowledge_a_write() -> None:
    assert planned(TopicSettings(kafka_replication=3))[0].config["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in planned(TopicSettings())[0].config


def test_a_topic_as_planned_does_not_differ() -> None:
    settings = TopicSettings()
    topic, found = planned(settings)[0], as_planned(settings)
    assert not list(config_differences(topic, found))
    assert not list(shape_differences(topic, found, settings))


def test_a_difference_names_both_values_and_the_remedy() -> None:
    settings = TopicSettings()
    found = replace(as_planned(settings), config={**planned(settings)[0].config, "retention.ms": "1000"})
    (difference,) = config_differences(planned(settings)[0], found)
    assert difference.text == "topic purchases: retention.ms is 1000, the settings say 604800000; --apply sets it"
    assert not difference.harmful


def test_times_of_the_senders_are_harmful() -> None:
    settings = TopicSettings()
    config = {**planned(settings)[0].config, "message.timestamp.type": "CreateTime"}
    (difference,) = config_differences(planned(settings)[0], replace(as_planned(settings), config=config))
    assert difference.harmful


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_catalogue_that_forgets_products_with_their_age_is_harmful(policy: str) -> None:
    settings = TopicSettings()
    *others, products = planned(settings)
    found = FoundTopic(1, 1, {**products.config, "cleanup.policy": policy}, {})
    (difference,) = config_differences(products, found)
    assert difference.harmful
    assert difference.text == f"topic products: cleanup.policy is {policy}, the settings say compact; --apply sets it"
    for other in others:
        deleting = FoundTopic(other.partitions, 1, {**other.config, "cleanup.policy": policy}, {})
        assert not list(config_differences(other, deleting)), "their contract leaves it to the brokers"


def test_a_catalogue_in_several_partitions_is_harmful() -> None:
    settings = TopicSettings()
    products = planned(settings)[-1]
    (difference,) = shape_differences(products, FoundTopic(3, 1, products.config, {}), settings)
    assert difference.harmful
    assert "it has 3 partitions and must have 1" in difference.text


def test_fewer_partitions_are_a_difference_and_more_are_not() -> None:
    settings = TopicSettings(kafka_partitions=8, kafka_replication=3)
    topic = planned(settings)[0]
    few = FoundTopic(4, 1, topic.config, {})
    partitions, replicas = [each.text for each in shape_differences(topic, few, settings)]
    assert "it has 4 partitions, the settings say 8; `python -m services.provision grow --partitions 8`" in partitions
    assert "it has 1 replicas of a partition, the settings say 3" in replicas
    assert not list(shape_differences(topic, replace(few, partitions=16, replicas=3), settings))
