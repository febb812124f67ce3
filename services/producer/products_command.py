"""`python -m services.producer products FILE`: writes a file of products to topic `products`."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.common.entrypoint import run_command
from services.common.kafka import TopicMissing, producer_options, require_topics, stop_producer
from services.common.products import CatalogueProduct, InvalidProduct, encode_product, parse_product
from services.common.settings import KafkaSettings
from services.producer.csv_rows import Row, Unreadable
from services.producer.layouts.containers import open_table
from services.producer.layouts.file_form import form_of
from services.producer.layouts.mapping import TextForm
from services.producer.source import BadFile

_FIELDS = tuple(CatalogueProduct.__struct_fields__)
_ATTRIBUTE = "attribute."
_BATCH = 5_000
_REFUSALS_SHOWN = 20
_SOME_REFUSED = 3
_STOP_S = 5.0

_DESCRIPTION = f"""\
Write the rows of a file of products to the catalogue: CSV, TSV, Excel workbook, Parquet or JSON lines, packed or not.

Columns: {", ".join(_FIELDS)}; and {_ATTRIBUTE}NAME for an attribute. Only product_id is needed. A row replaces all
that the catalogue says of its product. The same file may be sent again. Rows that are refused are named and not sent.

Exit status: 0 all rows were acknowledged, 1 Kafka failed, 2 a mistake in file or settings, 3 some rows were refused.
"""


@dataclass(slots=True)
class _Counts:
    sent: int = 0
    refused: int = 0


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m services.producer products",
        description=_DESCRIPTION,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--encoding", default="", help="of a file of text (default: found out)")
    parser.add_argument("--delimiter", default="", help="of a file of text (default: found out)")
    options = parser.parse_args(arguments)

    def run(settings: KafkaSettings) -> int:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # an outage is reported in a line of our own
        form = form_of(options.file, options.encoding, options.delimiter)
        counts = asyncio.run(_send(options.file, form, settings))
        print(f"{options.file}: {counts.sent:,} products sent, {counts.refused:,} rows refused", flush=True)
        return _SOME_REFUSED if counts.refused else 0

    return run_command("products", KafkaSettings, run, {BadFile: 2, TopicMissing: 2, KafkaError: 1, OSError: 1})


def read_products(file: Path, form: TextForm) -> Iterator[CatalogueProduct | str]:
    """The products of a file; of a refused row, its number and what is wrong. Raises BadFile."""
    with open_table(file, form) as table:
        unknown = [name for name in table.columns if name not in _FIELDS and not name.startswith(_ATTRIBUTE)]
        if "product_id" not in table.columns or unknown:
            wrong = f"unknown columns: {', '.join(unknown[:10])}" if unknown else "column product_id is missing"
            raise BadFile(f"{file}: {wrong}; known are {', '.join(_FIELDS)} and {_ATTRIBUTE}NAME")
        for number, row in enumerate(table.rows, 1):
            try:
                yield parse_product(_as_json(table.columns, row.fields))
            except InvalidProduct as error:
                yield f"row {number:,}: {error}"


def _as_json(columns: Sequence[str], fields: Row) -> bytes:
    if isinstance(fields, Unreadable) or len(fields) != len(columns):
        raise InvalidProduct("row", fields.detail if isinstance(fields, Unreadable) else "has other columns")
    given = {name: text for name, text in zip(columns, fields, strict=True) if text}
    attributes = {
        name.removeprefix(_ATTRIBUTE): given.pop(name)
        for name in columns
        if name.startswith(_ATTRIBUTE) and name in given
    }
    values: dict[str, object] = dict(given)
    if "attributes" in given:
        values["attributes"] = msgspec.Raw(given["attributes"].encode(errors="replace"))
    elif attributes:
        values["attributes"] = attributes
    try:
        return msgspec.json.encode(values)
    except UnicodeEncodeError:
        raise InvalidProduct("row", "holds bytes that are no text: name the --encoding") from None


async def _send(file: Path, form: TextForm, settings: KafkaSettings) -> _Counts:
    """Raises BadFile, TopicMissing, KafkaError, OSError."""
    await require_topics(settings, [settings.products_topic])
    producer = AIOKafkaProducer(linger_ms=5, **producer_options(settings))
    try:
        await producer.start()
        return await _send_all(file, form, producer, settings.products_topic)
    finally:
        await stop_producer(producer, _STOP_S)


async def _send_all(file: Path, form: TextForm, producer: AIOKafkaProducer, topic: str) -> _Counts:
    counts, pending = _Counts(), []
    for product in read_products(file, form):
        if isinstance(product, str):
            counts.refused += 1
            if counts.refused <= _REFUSALS_SHOWN:
                print(f"{file}: {product}", file=sys.stderr)
            continue
        pending.append(await producer.send(topic, encode_product(product), product.product_id.encode()))
        counts.sent += 1
        if len(pending) >= _BATCH:
            await asyncio.gather(*pending)
            pending.clear()
    await asyncio.gather(*pending)
    return counts
