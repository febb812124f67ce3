"""Records that Debezium 3.5.0 wrote of a table of order lines (bench/debezium), and the mapping of that table."""

import json
from pathlib import Path
from typing import Any

from services.producer.layouts.mapping import Mapping

RECORDED = Path(__file__).parents[1] / "unit" / "producer" / "changes" / "recorded"
FORMS = ("text", "double", "schema")
MAPPING = Mapping(
    layout="generic",
    columns={
        "event_time": ["created_at"],
        "order_id": ["order_id"],
        "product_id": ["sku"],
        "product_name": ["title"],
        "price": ["price"],
        "quantity": ["quantity"],
        "user_id": ["customer_id"],
    },
    skip={"status": ["pending", "cancelled"]},
)

Record = tuple[bytes, bytes | None]


def recorded(form: str) -> list[Record]:
    """Key and value of each record, in order. In `schema.jsonl`, the schema that all values have is left out."""
    schema = json.loads((RECORDED / "schema.json").read_text()) if form == "schema" else None
    found = [json.loads(line) for line in (RECORDED / f"{form}.jsonl").read_text().splitlines()]
    return [(_json(each["key"]), _value(each["value"], schema)) for each in found]


def _value(value: Any, schema: Any) -> bytes | None:
    if value is None:
        return None
    return _json(value if schema is None else {"schema": schema, "payload": value})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
