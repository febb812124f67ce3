"""Events sent in over HTTP: validated one by one, written to Kafka, confirmed by the broker."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from services.common.events import Purchase, Rejected, parse
from services.common.kafka import producer_options
from services.common.metrics import GATEWAY_INTAKE
from services.gateway.api.problems import bad_field
from services.gateway.api.schemas import EventVerdict
from services.gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

MAX_EVENTS = 1_000
_STOP_SECONDS = 3.0
_events = msgspec.json.Decoder(list[msgspec.Raw])

# Index of the event → the broker's acknowledgement to come.
Deliveries = dict[int, asyncio.Future[RecordMetadata]]


class EventsUnconfirmed(Exception):
    """Kafka did not confirm every event; `verdicts` say which ones it did."""

    def __init__(self, verdicts: list[EventVerdict]) -> None:
        super().__init__("Kafka does not acknowledge at the moment")
        self.verdicts = verdicts


@dataclass(frozen=True, slots=True)
class SubmittedEvent:
    """One event of a request: its JSON without white space, and what the validation said."""

    value: bytes
    outcome: Purchase | Rejected


def read_events(body: bytes) -> list[SubmittedEvent]:
    """The events of a request's body, one object or a list, each validated by itself.

    Raises a 422 problem where the body is not JSON, or holds no event or too many.
    """
    now_ms = time.time_ns() // 1_000_000
    return [SubmittedEvent(value, parse(value, now_ms)) for value in _split(body)]


def _split(body: bytes) -> list[bytes]:
    try:
        body.decode()
        events = _events.decode(body) if body.lstrip()[:1] == b"[" else [body]
        values = [msgspec.json.format(bytes(event), indent=-1) for event in events]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_field("body", f"is not JSON: {error}") from None
    if not 1 <= len(values) <= MAX_EVENTS:
        raise bad_field("body", f"must hold 1 to {MAX_EVENTS:,} events, not {len(values):,}")
    return values


class EventProducer:
    """Writes events to the topic of the purchases. Connects in the background, so that Kafka may come later."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def connect(self) -> None:
        """Connect where there is no connection."""
        if self._producer is not None:
            return
        producer = AIOKafkaProducer(
            request_timeout_ms=int(self._settings.produce_timeout_seconds * 1000), **producer_options(self._settings)
        )
        try:
            await producer.start()
            self._producer = producer
        except (KafkaError, OSError):
            pass  # the offsets' watch tells that Kafka is away
        finally:
            if self._producer is not producer:
                await _stop(producer)

    async def close(self) -> None:
        """Send what is on its way, for a while, and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)

    async def send(self, events: Sequence[SubmittedEvent]) -> list[EventVerdict]:
        """Write the accepted events, in order, and wait until the broker has them. Raises EventsUnconfirmed."""
        deliveries: Deliveries = {}
        try:
            async with asyncio.timeout(self._settings.produce_timeout_seconds):
                await self._write(events, deliveries)
                await asyncio.gather(*deliveries.values())
        except TimeoutError:
            logger.warning("Kafka acknowledges no events in time")
        except KafkaError as error:
            logger.warning("Kafka takes no events: %s", error)
            await self.close()  # an idempotent producer that has failed stays so; connect() makes another
        verdicts = [_verdict(index, sent, deliveries.get(index)) for index, sent in enumerate(events)]
        for verdict in verdicts:
            GATEWAY_INTAKE.labels(verdict.status).inc()
        if any(verdict.status == "unconfirmed" for verdict in verdicts):
            raise EventsUnconfirmed(verdicts)
        return verdicts

    async def _write(self, events: Sequence[SubmittedEvent], deliveries: Deliveries) -> None:
        for index, sent in enumerate(events):
            if isinstance(sent.outcome, Purchase):
                if self._producer is None:
                    return
                key = sent.outcome.partition_key.encode()
                deliveries[index] = await self._producer.send(self._settings.purchases_topic, sent.value, key)


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
