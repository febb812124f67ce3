"""The independent reference reads every odd spelling as the validation does: the same lines, pieces and cents."""

from itertools import product
from pathlib import Path

import pytest

from local.reference import NO_CUSTOMER, ReferenceFigures
from services.common.events import Purchase, parse
from services.common.spellings import NO_CUSTOMER as DEFAULT_NO_CUSTOMER
from services.producer.line_ids import read_line_ids
from services.producer.rows import Record, RowEncoder
from services.producer.source import PurchaseFile
from tests.support.producer import write_file

NOW_MS = 1_760_000_000_000
COLUMNS = "event_time,order_id,product_id,category_id,category_code,brand,price,user_id,quantity,amount"
PRICES = [
    "10.00",
    "'-10.00",
    "-10.00",
    ".99",
    "12.",
    "+5",
    "-0.00",
    "\u00a012.50\u2009",
    "\u221210",
    "1E+2",
    "1.234",
    "-",
    ".",
]
QUANTITIES = ["", "2.0", "'-1", "+1", "0", "-1", "2.5", "one", "1000001"]
AMOUNTS = ["", "10.00", "-10.00", "'-10.00", "0", "1,000.00", "10000000.01"]
IDS = [
    "7",
    "0",
    "NULL",
    "null",
    "Guest",
    " guest ",
    r"\N",
    "42.0",
    "0.0",
    "1515915625441993984.0",
    "1.51592E+18",
    "1E5",
]
IDS += ["1.51592E+18", "12e4", '="42"', '="guest"', '=""', "10.0", "undefined", "N/A", "n/a", "-1", "x" * 129, "Null"]
PLACES = ("order_id", "product_id", "user_id", "category_id", "brand", "category_code")


def rows() -> list[str]:
    """Every pair of odd numbers, and every odd text in every place; each row has an order of its own."""
    time = "2025-01-02 03:04:05 UTC"
    numbers = [
        f"{time},n{at},p,,,,{price},u,{quantity},{_quoted(amount)}"
        for at, (price, quantity, amount) in enumerate(product(PRICES, QUANTITIES, AMOUNTS))
    ]
    texts = []
    for at, (place, text) in enumerate(product(PLACES, IDS)):
        fields = {"order_id": f"t{at}", "product_id": "p"} | {place: _quoted(text)}
        cells = [fields.get(name, "") for name in ("order_id", "product_id", "category_id", "category_code", "brand")]
        texts.append(f"{time},{','.join(cells)},1.00,{fields.get('user_id', 'u')},,")
    return [*numbers, *texts]


def _quoted(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if set(text) & set(',"') else text


Line = tuple[str, str, str | None, str | None, str | None, int, int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = write_file(tmp_path / "odd.csv", rows())
    file.write_text(file.read_text().replace(file.read_text().split("\n", 1)[0], COLUMNS, 1))
    return file


def test_reference_and_validation_read_the_same(path: Path) -> None:
    accepted: list[Line] = []
    refused: dict[str, int] = {}
    with PurchaseFile(path) as file:
        ids = read_line_ids(file)
    with PurchaseFile(path) as file:
        encoder = RowEncoder(file.columns, "odd.csv", ids, lambda key: (0, key.encode()))
        for block in file.blocks():
            for outcome in encoder.encode(block, NOW_MS):
                if isinstance(outcome, Record):
                    accepted.append(_line(outcome))
                else:
                    refused[outcome.reason.value] = refused.get(outcome.reason.value, 0) + 1
    reference = ReferenceFigures([path])
    found = reference.ask(
        "SELECT order_id, product_id, user_id, brand, category_code, pieces, CAST(revenue AS BIGINT) FROM lines"
    )
    counts = reference.counts
    reference.close()
    assert sorted(map(str, found)) == sorted(map(str, accepted))
    assert counts.refused == refused
    assert {"bad_price", "bad_quantity", "bad_amount", "damaged_id", "missing_field"} <= set(refused)


def _line(record: Record) -> Line:
    purchase = parse(record.value, NOW_MS)
    assert isinstance(purchase, Purchase)
    return (
        purchase.order_id,
        purchase.product_id,
        purchase.user_id,
        purchase.brand,
        purchase.category_code,
        purchase.quantity,
        purchase.revenue,
    )


def test_both_have_the_same_default_of_no_customer() -> None:
    assert set(NO_CUSTOMER.split(",")) == set(DEFAULT_NO_CUSTOMER)
