"""Valid but extreme events: each is accepted, and a batch of them is as hard on the live tables as the contract allows.

Sizes, cardinalities, dates and signs are drawn by stretches of one style, so that a batch holds one style or several.
"""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from services.common.event_rules import EventRules
from services.common.events import EARLIEST_EVENT_MS, Purchase, parse
from services.common.line_totals import MAX_QUANTITY
from services.common.money import MAX_UNIT_PRICE_CENTS, format_cents
from services.common.times import format_time

MAX_REVENUE_CENTS = 100_000_000_000
"""The most that a shop may set: some 90,000 such lines are more than the tables can hold."""
RULES = EventRules(max_line_cents=MAX_REVENUE_CENTS)
Event = dict[str, object]
Style = Callable[[random.Random, int, int], Event]

_LONGEST_STRETCH = 3_000
_DAY_MS = 86_400_000
_CHANGES_OF_SUMMER_TIME = [datetime(2020, 3, 29, tzinfo=UTC), datetime(2020, 10, 25, tzinfo=UTC)]
_AWKWARD = (
    *(
        "total",
        "month:1",
        "day:1",
        "facts",
        "0",
        "-0",
        "1e5",
        "unknown",
        "{a}",
        "}{",
        "%s %d",
        "%",
        "\\",
        '"',
        "'",
        ":",
    ),
    *(
        "*",
        "[a-z]*",
        "a b",
        " ",
        "é",
        "e\u0301",
        "😀",
        "\u2028",
        "İ",
        "ß",
        "ẞ",
        "𝟙",
        "KEYS[1]",
        "nil",
        "inf",
        "__proto__",
    ),
)


def extreme_events(seed: int, first: int, count: int, broker_ms: int) -> Iterator[bytes]:
    """Events `first` to `first + count` (exclusive) of a seed. `broker_ms`: about when they will arrive."""
    for number, style in enumerate(_styles(seed, first + count)):
        if number >= first:
            yield _encoded(style(random.Random(f"{seed}/{number}"), number, broker_ms), broker_ms)


def largest_events(count: int, broker_ms: int) -> Iterator[bytes]:
    """Lines of the largest amount: some 90,000 of them are more than a sum of the tables can hold exactly."""
    return (_encoded(_largest(random.Random(number), number, broker_ms), broker_ms) for number in range(count))


def _styles(seed: int, end: int) -> Iterator[Style]:
    """The style of each event, in stretches."""
    dice = random.Random(seed)
    left = end
    while left > 0:
        style, length = dice.choice(_STYLES), min(left, dice.choice([1, 7, 100, _LONGEST_STRETCH]))
        left -= length
        yield from (style for _ in range(length))


def _encoded(event: Event, broker_ms: int) -> bytes:
    value = json.dumps(event, ensure_ascii=False).encode()
    verdict = parse(value, broker_ms, RULES)
    assert isinstance(verdict, Purchase), (event, verdict)
    return value


def _event(dice: random.Random, number: int, broker_ms: int, **fields: object) -> Event:
    """An ordinary event under an id of its own; `fields` make it extreme."""
    return {
        "event_id": f"x-{number}",
        "event_time": format_time(broker_ms - dice.randrange(_DAY_MS)),
        "order_id": f"o-{number // 3}",
        "product_id": f"p-{dice.randrange(50)}",
        "user_id": f"u-{dice.randrange(50)}",
        "category_code": "a.b",
        "brand": "b",
        "price": "1.00",
    } | fields


def _text(dice: random.Random, longest: int) -> str:
    kind = dice.randrange(4)
    if kind == 0:
        return dice.choice(_AWKWARD)
    alphabet = ["a", "😀", "é", "\\", '"'][dice.randrange(5)]
    return alphabet * (longest if kind == 1 else dice.randint(1, longest))


def _sizes(dice: random.Random, number: int, broker_ms: int) -> Event:
    code = ".".join(dice.choice("ab😀") * dice.randint(1, 31) for _ in range(dice.randint(1, 8)))
    texts = {name: _text(dice, 128) for name in ("order_id", "product_id", "user_id", "category_id")}
    named = {name: _text(dice, 256) for name in ("brand", "product_name")}
    return _event(dice, number, broker_ms, **texts, **named, category_code=code)


def _all_distinct(dice: random.Random, number: int, broker_ms: int) -> Event:
    names = {name: f"{name}-{number}" for name in ("order_id", "product_id", "user_id", "brand", "category_id")}
    code = ".".join(f"{number}-{level}" for level in range(8))
    return _event(dice, number, broker_ms, **names, category_code=code)


def _one_of_all(dice: random.Random, number: int, broker_ms: int) -> Event:
    """A till that uses one order id for everything, with ever new products and times."""
    at_ms = broker_ms - number % 1_000_000 * 60_000
    return _event(
        dice,
        number,
        broker_ms,
        order_id="till",
        user_id="till",
        product_id=f"t-{number}",
        event_time=format_time(at_ms),
    )


def _dates(dice: random.Random, number: int, broker_ms: int) -> Event:
    change = dice.choice(_CHANGES_OF_SUMMER_TIME) + timedelta(minutes=dice.randrange(240))
    at_ms = dice.choice(
        [
            EARLIEST_EVENT_MS,
            dice.randrange(EARLIEST_EVENT_MS, broker_ms),
            broker_ms + _DAY_MS - 60_000,
            int(change.timestamp() * 1000),
            951_782_399_999,  # the end of 28 February 2000
        ]
    )
    return _event(dice, number, broker_ms, event_time=format_time(at_ms))


def _signs(dice: random.Random, number: int, broker_ms: int) -> Event:
    quantity = dice.choice([-MAX_QUANTITY, -1, 0, 1, MAX_QUANTITY])
    price = dice.choice([0, 1, 100, MAX_UNIT_PRICE_CENTS, MAX_REVENUE_CENTS // MAX_QUANTITY])
    amount = dice.choice([0, 1, MAX_REVENUE_CENTS]) * (quantity or dice.choice([-1, 1]))
    bounded = max(-MAX_REVENUE_CENTS, min(MAX_REVENUE_CENTS, amount))
    return _event(dice, number, broker_ms, price=format_cents(price), quantity=quantity, amount=format_cents(bounded))


def _largest(dice: random.Random, number: int, broker_ms: int) -> Event:
    """Sums reach what the tables can hold."""
    return _event(dice, number, broker_ms, quantity=MAX_QUANTITY, amount=format_cents(MAX_REVENUE_CENTS))


def _odd_ids(dice: random.Random, number: int, broker_ms: int) -> Event:
    event_id = dice.choice([None, f"s:{number}", f"{number}:{'9' * 15}", f"{number:x}" * 8, f"{number}:", f":{number}"])
    return _event(dice, number, broker_ms, event_id=None if event_id is None else event_id[:128])


_STYLES: tuple[Style, ...] = (_event, _sizes, _all_distinct, _one_of_all, _dates, _signs, _largest, _odd_ids)
