"""What the services may do: names agree with the services, and nobody may do everything."""

import pytest

from infra.rights import (
    AGGREGATOR_GROUP,
    ARCHIVER_GROUP,
    KafkaArns,
    Resources,
    Right,
    of_archiver,
    of_firehose,
    of_job,
    of_services,
)
from services.aggregator.settings import AggregatorSettings
from services.common.settings import ArchiveSettings
from services.common.topics import ALL

ON = Resources(KafkaArns("arn:aws:kafka:eu-central-1:111122223333", "shop/uuid"), "bucket")
FIREHOSE = of_firehose(ON, "arn:function", "arn:log-stream")
EVERY = {**of_services(ON), "archiver": of_archiver(ON), "job": of_job(ON), "firehose": FIREHOSE}


def allowed(rights: tuple[Right, ...]) -> set[tuple[str, str]]:
    return {(action, resource) for right in rights for action in right.actions for resource in right.resources}


def test_groups_are_those_of_the_services() -> None:
    assert AggregatorSettings.model_fields["aggregator_group"].default == AGGREGATOR_GROUP
    assert ArchiveSettings.model_fields["archive_group"].default == ARCHIVER_GROUP


@pytest.mark.parametrize("name", EVERY)
def test_no_right_is_over_everything(name: str) -> None:
    for action, resource in allowed(EVERY[name]):
        assert "*" not in action
        assert resource.startswith("arn:")
        assert not resource.endswith("bucket/*")


def test_who_writes_a_topic_is_who_the_contract_names() -> None:
    """services/common/topics.py names producers and consumers of each topic; tools replay dead letters."""
    for topic in ALL:
        (arn,) = ON.kafka.topics(topic.name)
        writers = {
            name for name, rights in of_services(ON).items() if ("kafka-cluster:WriteData", arn) in allowed(rights)
        }
        named = {"tools" if name == "deadletters" else name for name in topic.producers}
        assert writers == named, topic.name


def test_who_reads_a_topic_is_who_the_contract_names() -> None:
    for topic in ALL:
        (arn,) = ON.kafka.topics(topic.name)
        everyone = {**of_services(ON), "archiver": of_archiver(ON)}
        readers = {name for name, rights in everyone.items() if ("kafka-cluster:ReadData", arn) in allowed(rights)}
        named = {"tools" if name == "deadletters" else name for name in topic.consumers}
        assert readers - {"tools"} == named - {"tools"}, topic.name


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"archiver", "firehose", "privacy"}))
def test_only_the_archive_writes_the_archive(name: str) -> None:
    """And who removes erased customers from it."""
    changes = {"s3:PutObject", "s3:DeleteObject"}
    assert not [pair for pair in allowed(EVERY[name]) if pair[0] in changes and "/raw/" in pair[1]]


def test_nobody_deletes_from_the_archive() -> None:
    assert not [
        pair
        for rights in EVERY.values()
        for pair in allowed(rights)
        if pair[0] == "s3:DeleteObject" and "/raw" in pair[1]
    ]
