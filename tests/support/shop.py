"""A small made-up shop whose files have every oddity of the real ones, the same for the same seed.

Ids of 19 digits, anonymous buyers, orders in no order of time (lateness of months), rows of six fields, the one bad
time, identical lines, returns, amounts that are not price times quantity, rows that are no purchase at all.
"""

import csv
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

Row = list[str]
"""The fields of one row as they stand in the file; a row may be short or broken."""

SEED_COLUMNS = ["event_time", "order_id", "product_id", "category_id", "category_code", "brand", "price", "user_id"]
TILL_COLUMNS = [*SEED_COLUMNS, "quantity", "amount", "product_name"]
BAD_TIME = "1970-01-01 00:33:40 UTC"
FIRST_DAY = datetime(2020, 3, 1, tzinfo=UTC)
DAYS = 92
CATEGORIES = [
    *(f"electronics.{name}" for name in ("smartphone", "tablet", "clocks", "audio.headphone", "video.tv")),
    *(f"appliances.kitchen.{name}" for name in ("kettle", "oven", "hood", "washer", "mixer", "grill")),
    *("appliances.iron", "computers.notebook", "computers.desktop", "furniture", "kids.toys", "sport.bicycle"),
]
BRANDS = ("samsung", "acme", "ключ", 'quo"te, inc', "")
CUSTOMERS = 60
PRODUCTS = 80


def seed_rows(seed: int, count: int) -> list[Row]:
    """At least `count` rows below SEED_COLUMNS, whole orders, short and broken rows among them."""
    random_ = random.Random(seed)
    return [_odd(random_, row) for row in whole_rows(seed, count)]


def whole_rows(seed: int, count: int) -> list[Row]:
    """The same with all eight fields in every row, none of them broken."""
    random_ = random.Random(seed)
    rows: list[Row] = []
    while len(rows) < count:
        rows += _order(random_, seed, len(rows))
    return rows


def till_rows(seed: int, count: int) -> list[Row]:
    """At least `count` rows below TILL_COLUMNS: with pieces, returns, amounts and names."""
    random_ = random.Random(seed)
    return [[*row, *_till(random_, row)] for row in whole_rows(seed, count)]


def bare_message(row: Row, absent: str | None = "") -> bytes:
    """The message that producers in the wild send: the row mapped by position to eight texts, without event_id.

    A short row's fields come out at other names so; `absent` stands where nothing is left for a name.
    """
    fields = [*row, *[absent] * (len(SEED_COLUMNS) - len(row))]
    return json.dumps(dict(zip(SEED_COLUMNS, fields, strict=True)), ensure_ascii=False).encode()


def write_csv(file: Path, rows: Iterable[Row], columns: Sequence[str] = SEED_COLUMNS) -> Path:
    """The rows below their header; .gz is not needed at this size."""
    with file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return file


def _order(random_: random.Random, seed: int, number: int) -> list[Row]:
    """The lines of one order: one time, one buyer, sometimes the same line twice."""
    moment = FIRST_DAY + timedelta(seconds=random_.randrange(DAYS * 86_400))
    time = BAD_TIME if random_.random() < 0.02 else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    order_id = str(2_294_359_932_054_000_000 + seed * 1_000_003 + number)
    customer = random_.randrange(CUSTOMERS)
    user_id = str(1_515_915_625_441_000_000 + customer * 7) if random_.random() < 0.5 else ""
    # Customers have a taste, or there would be nothing to learn.
    taste = customer % 4 * (PRODUCTS // 4)
    products = [taste + random_.randrange(PRODUCTS // 4) for _ in range(random_.randint(1, 5))]
    lines = [[time, order_id, *_product(product), user_id] for product in products]
    if random_.random() < 0.1:
        lines.append(list(lines[-1]))
    return lines


def _till(random_: random.Random, row: Row) -> Iterator[str]:
    """Quantity, amount and name of a line."""
    fate = random_.random()
    quantity = "" if fate < 0.5 else random_.choice(["1", "2", "3", "12"] if fate < 0.9 else ["0", "-1", "-2"])
    yield quantity
    amount = random_.randrange(-500, 50_000) / 100
    if quantity not in ("", "0"):
        amount = abs(amount) * (-1 if quantity.startswith("-") else 1)
    yield "" if fate < 0.7 else f"{amount:.2f}"
    yield f'product, "{row[2][-4:]}"'


def _product(product: int) -> Iterator[str]:
    """Product, category, code, brand, price: always the same for a product; a quarter has no category at all."""
    yield str(1_515_966_223_509_000_000 + product * 13)
    yield "" if product % 4 == 3 else str(2_268_105_426_648_000_000 + product % len(CATEGORIES))
    yield "" if product % 4 == 3 else CATEGORIES[product % len(CATEGORIES)]
    yield "" if product % 4 == 3 else BRANDS[product % len(BRANDS)]
    yield "0.00" if product == 5 else f"{(product * 7919) % 900}.{product % 100:02d}"


def _odd(random_: random.Random, row: Row) -> Row:
    """The row as the file has it: without a category it is short; now and then it is broken."""
    time, order_id, product_id, category_id, category_code, brand, price, user_id = row
    if not category_id + category_code + brand:
        return [time, order_id, product_id, "", price, user_id]
    fate = random_.random()
    if fate < 0.004:
        return row[:3]
    if fate < 0.008:
        return [*row[:6], random_.choice(["NaN", "1e9", "-3", "1.234", ""]), user_id]
    if fate < 0.012:
        return ["2099-01-01 00:00:00 UTC", *row[1:]]
    return row
