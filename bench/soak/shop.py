"""A made-up shop: `python -m bench.soak.shop FILE --rows N --first-row R --rate N --since SECONDS`.

Customers and products are bounded, orders are not: four lines make an order, and each is new, as in a real shop. One
order in five has no customer. At 5,000 rows a second a customer buys two lines a second: what the services keep of each
is at its bound (500 lines, recsys/live_state.py) before a soak's warm-up is over. A row is a function of its
number, so that two files never share an order.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

HEADER = "event_time,order_id,product_id,category_id,category_code,brand,price,user_id"
CUSTOMERS = 2_000
PRODUCTS = 2_000
LINES_AN_ORDER = 4
_ANONYMOUS_EVERY = 5
_FIRST_ORDER = 2_294_359_932_054_536_986
_FIRST_PRODUCT = 1_515_966_223_509_000_000
_FIRST_CUSTOMER = 1_515_915_625_440_000_000
_MIX = 2_654_435_761  # Knuth's multiplier: spreads consecutive numbers
# The file of the next minutes is written while the stack is measured: a few milliseconds of work, then a long rest.
# Niceness does not do that, where the kernel weighs sessions against one another before it looks at their processes.
_CHUNK_ROWS = 2_000
_REST_SHARE = 10


def main(arguments: list[str] | None = None) -> int:
    """Write the file; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak.shop", description="Made-up purchases as a CSV file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--first-row", type=int, default=0, help="number of the first row in the shop's life")
    parser.add_argument("--rate", type=float, default=5000, help="rows a second of event time")
    parser.add_argument("--since", type=float, default=0, help="event time of the first row, Unix time")
    options = parser.parse_args(arguments)
    write(options.file, options.rows, options.first_row, options.rate, options.since)
    return 0


def write(file: Path, count: int, first_row: int, rate: float, since: float) -> None:
    """Write rows `first_row` to `first_row` + `count` - 1, event times rising from `since` at `rate` rows a second."""
    with file.open("w") as out:
        out.write(f"{HEADER}\n")
        lines = rows(range(first_row, first_row + count), rate, since)
        while True:
            begun = time.thread_time()
            chunk = list(islice(lines, _CHUNK_ROWS))
            if not chunk:
                return
            out.writelines(chunk)
            time.sleep(_REST_SHARE * (time.thread_time() - begun))


def rows(numbers: range, rate: float, since: float) -> Iterator[str]:
    """The rows of these numbers, each with its line's end."""
    second, stamp = -1, ""
    for place, number in enumerate(numbers):
        if (now := int(since + place / rate)) != second:
            second, stamp = now, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
        yield f"{stamp},{_line(number)}\n"


def _line(number: int) -> str:
    order = number // LINES_AN_ORDER
    mixed = (number * _MIX) & 0xFFFFFFFF
    # The product of two uniform numbers: few products sell much and many a little.
    product = (mixed >> 16) * (mixed & 0xFFFF) * PRODUCTS >> 32
    customer = "" if order % _ANONYMOUS_EVERY == 0 else str(_FIRST_CUSTOMER + ((order * _MIX) >> 7) % CUSTOMERS)
    category = product % 40
    return (
        f"{_FIRST_ORDER + order},{_FIRST_PRODUCT + product},22681054266481709{category:02d},"
        f"group{category % 8}.category{category},brand{product % 60},{product % 300 + 1}.{product % 100:02d},{customer}"
    )


if __name__ == "__main__":
    sys.exit(main())
