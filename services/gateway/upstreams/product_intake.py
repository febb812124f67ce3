"""Products written over HTTP: validated one by one, written to Kafka, and confirmed by the broker."""

from collections.abc import Sequence

import msgspec

from services.common.metrics import GATEWAY_PRODUCTS
from services.common.products import CatalogueProduct, InvalidProduct, encode_product, parse_product
from services.gateway.api.problems import bad_field
from services.gateway.api.schemas.catalogue import ProductVerdict
from services.gateway.upstreams.event_intake import Acknowledged, EventProducer

MAX_PRODUCTS = 1_000
_products = msgspec.json.Decoder(list[msgspec.Raw])

Read = CatalogueProduct | InvalidProduct


def read_products(body: bytes, *, lines: bool) -> list[Read]:
    """The products of a body, a JSON list or with `lines` one a line, each validated on its own.

    Raises Problem 422 where it is no list, or holds none or too many.
    """
    values = _split_lines(body) if lines else _split(body)
    if not 1 <= len(values) <= MAX_PRODUCTS:
        raise bad_field("body", f"must hold 1 to {MAX_PRODUCTS:,} products, not {len(values):,}")
    return [_read(value) for value in values]


def _split(body: bytes) -> list[bytes]:
    try:
        return [bytes(value) for value in _products.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_field("body", f"is no JSON list of products: {error}") from None


def _split_lines(body: bytes) -> list[bytes]:
    if body.count(b"\n") > 2 * MAX_PRODUCTS:  # empty lines are no products, but each takes memory
        raise bad_field("body", f"must hold 1 to {MAX_PRODUCTS:,} products, one a line")
    return [line for line in body.split(b"\n") if line.strip()]


def _read(line: bytes) -> Read:
    try:
        return parse_product(line)
    except InvalidProduct as error:
        return error


async def write_products(producer: EventProducer, read: Sequence[Read]) -> list[ProductVerdict]:
    """Write the valid products in their order. A verdict for each."""
    valid = {index: each for index, each in enumerate(read) if isinstance(each, CatalogueProduct)}
    records = {index: (each.product_id.encode(), encode_product(each)) for index, each in valid.items()}
    written = dict(zip(records, await producer.write(records), strict=True)) if records else {}
    verdicts = [_verdict(index, each, written.get(index)) for index, each in enumerate(read)]
    for verdict in verdicts:
        GATEWAY_PRODUCTS.labels(verdict.status).inc()
    return verdicts


async def write_product(producer: EventProducer, product: CatalogueProduct) -> Acknowledged | None:
    """Write one product; None where the broker did not acknowledge it in time."""
    (written,) = await producer.write({0: (product.product_id.encode(), encode_product(product))})
    GATEWAY_PRODUCTS.labels("accepted" if written else "unconfirmed").inc()
    return written


def _verdict(index: int, read: Read, written: Acknowledged | None) -> ProductVerdict:
    if isinstance(read, InvalidProduct):
        return ProductVerdict(index=index, status="rejected", field=read.field, detail=str(read))
    if written is None:
        detail = "no acknowledgement in time"
        return ProductVerdict(index=index, status="unconfirmed", product_id=read.product_id, detail=detail)
    return ProductVerdict(index=index, status="accepted", product_id=read.product_id)
