"""Statistics of purchase files: `python -m local.dataset_stats FILE...`. The figures of docs/data.md come from here."""

import argparse
import sys
from contextlib import closing
from pathlib import Path

import duckdb

from local.reference import ReferenceFigures, UnusableFile

# Sentence template → query. A query returns one row with a figure for each placeholder.
STATISTICS = {
    "{:,} rows with {:,} orders, {:,} customers, {:,} products": """
        SELECT count(*), count(DISTINCT order_id), count(DISTINCT nullif(user_id, '')), count(DISTINCT product_id)
        FROM rows""",
    "{:,} accepted, {:,} repaired from six fields ({:,} of those with a customer), {:,} refused": """
        SELECT count(*) FILTER (refused IS NULL), count(*) FILTER (repaired),
               count(*) FILTER (repaired AND user_id IS NOT NULL), count(*) FILTER (refused IS NOT NULL) FROM judged""",
    "event time from {} to {}": "SELECT min(happened), max(happened) FROM lines",
    "without customer {:.1%}, category code {:.1%}, brand {:.1%}, category id {:.1%}": """
        SELECT avg(CAST(coalesce(user_id, '') = '' AS INTEGER)), avg(CAST(coalesce(category_code, '') = '' AS INTEGER)),
               avg(CAST(coalesce(brand, '') = '' AS INTEGER)), avg(CAST(coalesce(category_id, '') = '' AS INTEGER))
        FROM rows""",
    "{:,} rows are the same as an earlier one": """
        SELECT count(*) - (SELECT count(*) FROM (FROM rows GROUP BY ALL)) FROM rows""",
    "price 0 in {:,} rows, under 0.05 in {:,}, median {:.2f}, highest {}": """
        SELECT count(*) FILTER (value = 0), count(*) FILTER (value < 0.05), median(value), max(value)
        FROM (SELECT TRY_CAST(price AS DECIMAL(18, 2)) AS value FROM rows)""",
    "products with more than one price: {:,}": """
        SELECT count(*) FROM (SELECT product_id FROM rows GROUP BY ALL HAVING count(DISTINCT price) > 1)""",
    "{:,} category codes, {:,} brands": """
        SELECT count(DISTINCT nullif(category_code, '')), count(DISTINCT nullif(brand, '')) FROM rows""",
    "ids of up to {} digits": """
        SELECT greatest(max(length(order_id)), max(length(product_id)), max(length(user_id))) FROM rows""",
    "known customers: {:,} rows, {:,} orders, {:,} products": """
        SELECT count(*), count(DISTINCT order_id), count(DISTINCT product_id) FROM rows WHERE user_id <> ''""",
    "products a customer: median {:.0f}, mean {:.2f}; {:,} customers have two or more": """
        SELECT median(products), avg(products), count(*) FILTER (products > 1)
        FROM (SELECT count(DISTINCT product_id) AS products FROM rows WHERE user_id <> '' GROUP BY user_id)""",
    "orders with more than one customer or time: {:,}": """
        SELECT count(*) FROM (SELECT order_id FROM rows GROUP BY ALL
        HAVING count(DISTINCT user_id) > 1 OR count(DISTINCT event_time) > 1)""",
    "days late against the newest event before, in the files' order: median {:.0f}, p90 {:.0f}, most {:.0f}": """
        SELECT median(late), quantile_cont(late, 0.9), max(late)
        FROM (SELECT epoch(max(happened) OVER (ORDER BY rowid) - happened) / 86400 AS late FROM lines)""",
    "{:,} pieces; {:,} lines of none, {:,} of fewer": """
        SELECT sum(pieces), count(*) FILTER (pieces = 0), count(*) FILTER (pieces < 0) FROM lines""",
}


def main(arguments: list[str] | None = None) -> int:
    """Print the statistics; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.dataset_stats", description="Statistics of purchase files.")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="CSV in the seed layout, plain or .gz")
    try:
        with closing(ReferenceFigures(parser.parse_args(arguments).files)) as reference:
            print("\n".join(statistics(reference)))
    except (UnusableFile, duckdb.Error) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def statistics(reference: ReferenceFigures) -> list[str]:
    """One sentence per query; a sentence with a figure that is NULL is left out."""
    answers = ((words, reference.ask(sql)[0]) for words, sql in STATISTICS.items())
    refused = (f"refused: {count:,} {reason}" for reason, count in reference.counts.refused.items())
    return [*(words.format(*figures) for words, figures in answers if None not in figures), *refused]


if __name__ == "__main__":
    sys.exit(main())
