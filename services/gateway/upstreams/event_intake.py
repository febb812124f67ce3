"""Event intake: events submitted over HTTP are validated one by one, written to Kafka, and confirmed by the broker."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from services.common import tracing
from services.common.canary import Canary
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import Purchase, Reason, Rejected, parse
from services.common.kafka import producer_options
from services.common.metrics import GATEWAY_INTAKE
from services.common.tracing import Headers
from services.gateway.api.problems import bad_field
from services.gateway.api.schemas.events import EventVerdict
from services.gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

MAX_EVENTS = 1_000
_STOP_SECONDS = 3.0
_events = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOTHING = (b"null", b'""')

# Index of the event → its pending acknowledgement by the broker.
Deliveries = dict[int, asyncio.Future[RecordMetadata]]
# Index → key and value.
Records = dict[int, tuple[bytes, bytes]]


class EventsUnconfirmed(Exception):
    """Kafka did not acknowledge every event. `verdicts` has the result of each."""

    def __init__(self, verdicts: list[EventVerdict]) -> None:
        super().__init__("Kafka did not acknowledge in time")
        self.verdicts = verdicts


@dataclass(frozen=True, slots=True)
class SubmittedEvent:
    """One event of a request: its JSON without white space, and the result of its validation."""

    value: bytes
    outcome: Purchase | Rejected


def read_events(
    body: bytes, rules: EventRules = DEFAULT_RULES, idempotency_key: str | None = None, *, lines: bool = False
) -> list[SubmittedEvent]:
    """The events of a request body, which is one object or a list, or with `lines` one a line. Each is validated on
    its own.

    `idempotency_key` identifies the request: an event without an event_id gets `<key>:<index>`.
    Raises Problem 422 where the body is not JSON, or holds no event or too many.
    """
    now_ms = time.time_ns() // 1_000_000
    values = _split_lines(body) if lines else _split(body)
    if idempotency_key is not None:
        values = [_named(value, f"{idempotency_key}:{index}") for index, value in enumerate(values)]
    return [SubmittedEvent(value, _validated(value, now_ms, rules)) for value in values]


def _named(value: bytes, event_id: str) -> bytes:
    """The event with this event_id, unless it has one of its own or is no event. Its other values keep their text.

    A replay keeps having none: a replay that only its request distinguishes would count with each request.
    """
    try:
        fields = _fields.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value
    if any(bytes(fields.get(name, msgspec.Raw(b"null"))) not in _NOTHING for name in ("event_id", "replay_of")):
        return value
    return msgspec.json.encode(fields | {"event_id": event_id})


def _validated(value: bytes, now_ms: int, rules: EventRules) -> Purchase | Rejected:
    outcome = parse(value, now_ms, rules)
    if isinstance(outcome, Canary):
        return Rejected(Reason.MISSING_FIELD, "event_time is missing or empty: a client sends no canaries")
    if isinstance(outcome, Purchase) and outcome.order_digest is not None:
        return Rejected(Reason.BAD_ID, "order_digest is only for exports, which the producer sends: leave it out")
    return outcome


def _split(body: bytes) -> list[bytes]:
    try:
        body.decode()
        events = _events.decode(body) if body.lstrip()[:1] == b"[" else [body]
        values = [msgspec.json.format(bytes(event), indent=-1) for event in events]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_field("body", f"is not JSON: {error}") from None
    return _bounded(values)


def _split_lines(body: bytes) -> list[bytes]:
    """The events of JSON lines. A line that is not JSON stays as it is: validation refuses it alone."""
    if body.count(b"\n") > 2 * MAX_EVENTS:  # empty lines are no events, but each takes memory
        raise bad_field("body", f"must hold 1 to {MAX_EVENTS:,} events, one a line")
    return _bounded([_compact(line) for line in body.split(b"\n") if line.strip()])


def _compact(line: bytes) -> bytes:
    try:
        line.decode()
        return msgspec.json.format(line, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line


def _bounded(values: list[bytes]) -> list[bytes]:
    if not 1 <= len(values) <= MAX_EVENTS:
        raise bad_field("body", f"must hold 1 to {MAX_EVENTS:,} events, not {len(values):,}")
    return values


class Acknowledged(NamedTuple):
    """Where the brokers have put a record; `timestamp_ms` is their time."""

    partition: int
    offset: int
    timestamp_ms: int


class EventProducer:
    """Writes the records of one topic. Connects in the background, so the gateway starts without Kafka.

    One for each topic: an error of a topic, such as a missing right, ends the producer with all its pending records.
    """

    def __init__(self, settings: GatewaySettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None

    async def connect(self) -> None:
        """Connect, unless connected."""
        if self._producer is not None:
            return
        producer = AIOKafkaProducer(
            request_timeout_ms=int(self._settings.produce_timeout_seconds * 1000), **producer_options(self._settings)
        )
        try:
            await producer.start()
            self._producer = producer
        except (KafkaError, OSError):
            pass  # OffsetPoller logs the outage
        finally:
            if self._producer is not producer:
                await _stop(producer)

    async def close(self) -> None:
        """Flush pending events, at most a few seconds long, and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)

    async def _replace(self, failed: AIOKafkaProducer | None) -> None:
        """Close a producer that has failed, unless that has happened: `connect` makes another one.

        An idempotent producer does not recover.
        """
        if self._producer is failed:
            await self.close()

    async def send_to(self, value: bytes, partition: int) -> Acknowledged | None:
        """Write one record without a key to a partition; None where the brokers do not acknowledge it in time."""
        producer = self._producer
        if producer is None:
            return None
        try:
            async with asyncio.timeout(self._settings.produce_timeout_seconds):
                record = await producer.send_and_wait(self._topic, value, partition=partition)
        except TimeoutError:
            return None
        except KafkaError as error:
            logger.warning("Kafka rejected a record: %s", error)
            await self._replace(producer)
            return None
        return Acknowledged(record.partition, record.offset, record.timestamp)

    async def send(self, events: Sequence[SubmittedEvent]) -> list[EventVerdict]:
        """Write the valid events in order and wait for the acknowledgements. Raises EventsUnconfirmed."""
        valid = {
            index: (sent.outcome.partition_key.encode(), sent.value)
            for index, sent in enumerate(events)
            if isinstance(sent.outcome, Purchase)
        }
        deliveries = await self._acknowledged(valid)
        verdicts = [_verdict(index, sent, deliveries.get(index)) for index, sent in enumerate(events)]
        for verdict in verdicts:
            GATEWAY_INTAKE.labels(verdict.status).inc()
        if any(verdict.status == "unconfirmed" for verdict in verdicts):
            raise EventsUnconfirmed(verdicts)
        return verdicts

    async def deliver(self, records: Sequence[tuple[bytes, bytes]]) -> bool:
        """Write records (key, value), valid or not, in order. Whether the broker has acknowledged all of them."""
        return all(await self.write(dict(enumerate(records))))

    async def write(self, records: Records) -> list[Acknowledged | None]:
        """Write records in order; where the broker has put each, None where it did not say so in time."""
        deliveries = await self._acknowledged(records)
        return [_acknowledgement(deliveries.get(index)) for index in records]

    async def _acknowledged(self, records: Records) -> Deliveries:
        """Write the records and wait, at most for a while. What is not acknowledged then is up to the caller."""
        deliveries: Deliveries = {}
        producer = self._producer
        with tracing.child(f"send {self._topic}", "producer") as span:
            try:
                async with asyncio.timeout(self._settings.produce_timeout_seconds):
                    await self._send_each(records, span.headers, deliveries)
                    await asyncio.gather(*deliveries.values())
            except TimeoutError:
                logger.warning("Kafka did not acknowledge the events in time")
            except KafkaError as error:
                logger.warning("Kafka rejected the events: %s", error)
                await self._replace(producer)
        return deliveries

    async def _send_each(self, records: Records, headers: Headers, deliveries: Deliveries) -> None:
        for index, (key, value) in records.items():
            if self._producer is None:
                return
            deliveries[index] = await self._producer.send(self._topic, value, key, headers=headers)


def _acknowledgement(delivery: asyncio.Future[RecordMetadata] | None) -> Acknowledged | None:
    if delivery is None or not delivery.done() or delivery.cancelled() or delivery.exception() is not None:
        return None
    record = delivery.result()
    return Acknowledged(record.partition, record.offset, record.timestamp)


async def _stop(producer: AIOKafkaProducer) -> None:
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await producer.stop()


def _verdict(index: int, sent: SubmittedEvent, delivery: asyncio.Future[RecordMetadata] | None) -> EventVerdict:
    if isinstance(sent.outcome, Rejected):
        rejected = sent.outcome
        return EventVerdict(index=index, status="rejected", reason=rejected.reason.value, detail=rejected.detail)
    if delivery is None or not delivery.done() or delivery.cancelled():
        return EventVerdict(index=index, status="unconfirmed", detail="no acknowledgement in time")
    if (error := delivery.exception()) is not None:
        return EventVerdict(index=index, status="unconfirmed", detail=str(error))
    record = delivery.result()
    return EventVerdict(index=index, status="accepted", partition=record.partition, offset=record.offset)
