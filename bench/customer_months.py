"""Memory of the monthly figures per customer in Redis: `python -m bench.customer_months [--customers N --months N]`.

It fills a Valkey server with entries as the aggregator writes them, once without and once with the months, and reads
the server's memory use. The defaults are the known customers of the Kaggle file and their months with purchases.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import redis

from bench.machine import machine, table
from local.engines.valkey import ValkeyEngine
from local.ports import free_ports
from local.process import stop_together
from services.common.tables import Keys

KZ_CUSTOMERS, KZ_MONTHS = 221_647, 277_777
PIPELINED = 5_000
_FIRST_ID = 1_515_915_625_353_000_000
_MONTH_S = 2_629_746


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.customer_months", description="Bytes a customer and month.")
    parser.add_argument("--customers", type=int, default=KZ_CUSTOMERS, metavar="N")
    parser.add_argument("--months", type=int, default=KZ_MONTHS, metavar="N", help="of all customers together")
    options = parser.parse_args(arguments)
    without = memory(options.customers, 0)
    with_months = memory(options.customers, options.months)
    print(f"\nCustomers' entries in Valkey, on {machine()}")
    print(table([("entries", "bytes", "bytes/customer"), *rows(options.customers, without, with_months)]))
    print(f"{(with_months - without) / options.months:.0f} bytes a customer and month")
    return 0


def rows(customers: int, without: int, with_months: int) -> list[tuple[str, str, str]]:
    """The two measurements as the table shows them."""
    measured = [("total only", without), ("total and months", with_months)]
    return [(name, f"{size:,}", f"{size / customers:.0f}") for name, size in measured]


def memory(customers: int, months: int) -> int:
    """Bytes that entries of so many customers take, their months spread evenly over them."""
    with tempfile.TemporaryDirectory() as folder:
        (port,) = free_ports(1)
        engine = ValkeyEngine(Path(folder), Path(folder) / "log", port, die_with_parent=True)
        process = engine.start()
        try:
            engine.wait_ready(30)
            with redis.Redis(port=port) as client:
                before = int(client.info("memory")["used_memory"])
                fill(client, customers, months)
                return int(client.info("memory")["used_memory"]) - before
        finally:
            stop_together([process])


def fill(client: redis.Redis, customers: int, months: int) -> None:
    """Write the entries."""
    key = Keys("0")
    pipe = client.pipeline(transaction=False)
    for customer in range(customers):
        own = months // customers + (customer < months % customers)
        fields = {f"month:{1_577_836_800 + month * _MONTH_S}": f"{16_201 + customer} 1 1" for month in range(own)}
        entry = {"first_seen": "1587729039000", "last_seen": "1587729039000", "total": f"{16_201 + customer} 1 1"}
        pipe.hset(key(f"user:{_FIRST_ID + customer}"), items=flat(entry | fields))
        if len(pipe) >= PIPELINED:
            pipe.execute()
    pipe.execute()


def flat(fields: dict[str, str]) -> list[str]:
    """Field, value, field, value."""
    return [part for pair in fields.items() for part in pair]


if __name__ == "__main__":
    sys.exit(main())
