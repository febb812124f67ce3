"""Senders without Kafka: exports as the producer encodes them, requests as the gateway does, other records as they are.

Whatever is sent goes to every reader: the aggregator's applier on a real Valkey, the batch job's verdicts, and the
recommender's deduplicator.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from aiokafka import TopicPartition

from recsys.stream_apply import Deduplicator
from services.aggregator.applier import Applier
from services.common.events import Purchase, parse
from services.common.line_identity import LineVerdict
from services.gateway.upstreams.event_intake import read_events
from services.producer.line_ids import read_line_ids
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import Record, RowEncoder
from services.producer.source import PurchaseFile
from spark.line_verdicts import GroupVerdicts, Position
from spark.records import CHECKED, checked_row
from tests.support.applier import TOPIC
from tests.support.records import NOW, FakeRecord


class Sent(NamedTuple):
    """A record and its partition."""

    partition: int
    record: FakeRecord


class Topic:
    """Topic `purchases` in memory. Every record arrives a millisecond after the one before.

    What one call sends is a burst: bursts are applied one after the other, each partition by partition.
    """

    def __init__(self, partitions: int = 4) -> None:
        self.partitions = partitions
        self.records: list[Sent] = []
        self._ends: Counter[int] = Counter()
        self._bursts: list[int] = []

    def put(self, value: bytes, partition: int) -> None:
        """One record, in this partition."""
        self._begin()
        self._add(value, partition)

    def _begin(self) -> None:
        self._bursts.append(len(self.records))

    def _add(self, value: bytes, partition: int) -> None:
        record = FakeRecord(self._ends[partition], value, timestamp=NOW + len(self.records))
        self.records.append(Sent(partition, record))
        self._ends[partition] += 1

    def put_all(self, values: Iterable[bytes]) -> None:
        """Records by a sender without keys."""
        self._begin()
        for value in values:
            self._add(value, len(self.records) % self.partitions)

    def export(self, file: Path) -> None:
        """The rows of a purchase file, as the producer sends them."""
        with PurchaseFile(file) as source:
            ids = read_line_ids(source)
        self._begin()
        with PurchaseFile(file) as source:
            encoder = RowEncoder(source.columns, file.name, ids, keyed_partitioner(self.partitions))
            for block in source.blocks():
                for row in encoder.encode(block, NOW):
                    assert isinstance(row, Record)
                    self._add(row.value, row.partition)

    def post(self, body: bytes, key: str | None = None) -> None:
        """A request to the gateway."""
        place = keyed_partitioner(self.partitions)
        self._begin()
        for event in read_events(body, idempotency_key=key):
            assert isinstance(event.outcome, Purchase)
            self._add(event.value, place(event.outcome.partition_key)[0])

    async def apply(self, applier: Applier) -> None:
        """Give the applier what it has not read."""
        bursts, self._bursts = [*self._bursts, len(self.records)], []
        for start, end in pairwise(bursts):
            by_partition: dict[int, list[FakeRecord]] = {}
            for partition, record in self.records[start:end]:
                by_partition.setdefault(partition, []).append(record)
            for partition, records in by_partition.items():
                assert await applier.apply(TopicPartition(TOPIC, partition), records) is None


def counted_by_batch(topic: Topic) -> list[str]:
    """The outcome of every record in the batch job, in the order of arrival."""
    names = [name for name, _ in CHECKED]
    groups: dict[str, list[tuple[int, Sent]]] = {}
    for number, sent in enumerate(topic.records):
        purchase = parse(sent.record.value, sent.record.timestamp)
        group = f"order {purchase.order_id}" if isinstance(purchase, Purchase) else f"record {number}"
        groups.setdefault(group, []).append((number, sent))
    outcomes = [""] * len(topic.records)
    verdicts = GroupVerdicts()
    for group, members in groups.items():
        for number, (partition, record) in members:
            line = b'{"partition":%d,"offset":%d,"timestamp":%d,"value":%b}' % (
                partition, record.offset, record.timestamp, record.value or b"null",
            )  # fmt: skip
            row = dict(zip(names, checked_row(line, "", NOW), strict=True))
            tokens = tuple(token for token in (row["token"], row["replay_token"]) if isinstance(token, int))
            position = Position(partition, record.offset, record.timestamp)
            digest, reason = row["order_digest"], row["reason"]
            assert digest is None or isinstance(digest, str)
            assert reason is None or isinstance(reason, str)
            outcomes[number] = verdicts.judge(position, group, tokens, digest, reason).outcome
    return outcomes


def counted_by_follower(topic: Topic, remembered: int = 10_000) -> list[LineVerdict | None]:
    """The recommender's verdict on every record, None for an invalid one."""
    dedup = Deduplicator(remembered)
    purchases = [parse(record.value, record.timestamp) for _, record in topic.records]
    return [dedup.verdict(purchase) if isinstance(purchase, Purchase) else None for purchase in purchases]


def purchases_at(topic: Topic, numbers: Sequence[int]) -> list[Purchase]:
    """The lines of these records."""
    found = [parse(topic.records[number].record.value, NOW) for number in numbers]
    return [purchase for purchase in found if isinstance(purchase, Purchase)]
