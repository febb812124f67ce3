"""Reference figures of a shop, computed from its CSV files with DuckDB, for `local.verify`.

Independent on purpose: nothing here comes from `services/`. The repair of short rows, the validation, the buckets of
the time zone and the figures are implemented a second time, from the contract alone.
"""

import csv
import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

Value = int | str | float | None
Section = dict[str, Value]
"""Name of a figure (`2020-04-01T00:00:00+00:00 revenue`) → its value; money in cents."""
Sections = dict[str, Section]

GRANULARITIES = ("month", "day", "hour")
TOP_LENGTHS = {"spenders": 10, "categories": 15, "brands": 10, "products": 10}
TOP_COLUMNS = {
    "spenders": "user_id",
    "categories": "coalesce(category_code, 'unknown')",
    "brands": "coalesce(brand, 'unknown')",
    "products": "product_id",
}
REQUIRED = ("event_time", "order_id", "product_id", "price")
OPTIONAL = ("user_id", "category_id", "category_code", "brand", "product_name", "quantity", "amount")
SEED_LAYOUT = ["event_time", "order_id", "product_id", "category_id", "category_code", "brand", "price", "user_id"]
SHORT_ROW = ("event_time", "order_id", "product_id", "", "price", "user_id")
MAX_LINE_BYTES = 2**21
MAX_LINE_CENTS = 1_000_000_000
NO_CUSTOMER = (
    r"0,-1,\N,null,(null),nil,none,nan,na,n/a,#n/a,<na>,-,--,?,undefined,[object object],(not set),not set,unknown,"
    "guest,anonymous,anon,00000000-0000-0000-0000-000000000000"
)

# The contract's limits: ids and texts in characters, prices and amounts in cents.
_SQL = r"""
CREATE TEMP MACRO is_unclean(text, longest) AS
    length(text) > longest OR regexp_matches(text, '[\x00-\x1f\x7f-\x{9f}]');
-- Numbers as spreadsheets and tills spell them: space around, an apostrophe before, any sign, `.99`, `12.`.
CREATE TEMP MACRO trimmed(text) AS
    regexp_replace(text, '^[\s\pZ\x{feff}\x{200b}]+|[\s\pZ\x{feff}\x{200b}]+$', '', 'g');
CREATE TEMP MACRO plain(text) AS
    regexp_replace(replace(regexp_replace(trimmed(text), '^''', ''), chr(8722), '-'), '(\d)\.$', '\1');
CREATE TEMP MACRO cents(text) AS
    CASE WHEN regexp_full_match(plain(text), '[-+]?(\d{1,15}(\.\d{1,2}0*)?|\.\d{1,2}0*)')
    THEN CAST(CAST(ltrim(plain(text), '+') AS DECIMAL(38, 2)) * 100 AS HUGEINT) END;
CREATE TEMP MACRO whole_number(text) AS
    CASE WHEN regexp_full_match(plain(text), '[-+]?(\d{1,15}(\.0+)?|\.0+)')
    THEN CAST(CAST(ltrim(plain(text), '+') AS DECIMAL(38, 2)) AS BIGINT) END;
-- Ids: a spreadsheet's formula around them, floats of a table library, and what says that there is none.
CREATE TEMP MACRO unquoted(id) AS
    CASE WHEN regexp_full_match(id, '="[^"]*"') THEN nullif(id[3:-2], '') ELSE id END;
CREATE TEMP MACRO known(text) AS
    CASE WHEN text NOT IN ('\N', 'NULL', 'null', '(null)', 'None', 'NaN', 'nan', 'undefined', '[object Object]', '#N/A',
                           'N/A', 'n/a', '<NA>') THEN text END;
CREATE TEMP MACRO exact(id) AS CASE WHEN regexp_full_match(id, '\d{1,15}\.0') THEN id[:-3] ELSE id END;
CREATE TEMP MACRO customer(id) AS CASE WHEN NOT list_contains($no_customer, lower(trim(id))) THEN id END;
CREATE TEMP MACRO is_rounded(id) AS
    coalesce(regexp_full_match(id, '[+-]?\d+(\.\d*[eE][+-]?|[eE][+-])\d+'), false);
CREATE TEMP MACRO instant(text) AS
    CASE WHEN regexp_full_match(text, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC')
    THEN try_strptime(text, '%Y-%m-%d %H:%M:%S UTC')
    WHEN regexp_full_match(text, '\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)')
    THEN timezone('UTC', TRY_CAST(upper(text) AS TIMESTAMPTZ)) END;

CREATE TEMP TABLE judged AS
WITH read AS (
    SELECT * REPLACE (
        nullif(event_time, '') AS event_time, known(unquoted(nullif(order_id, ''))) AS order_id,
        known(unquoted(nullif(product_id, ''))) AS product_id, nullif(price, '') AS price,
        customer(exact(customer(unquoted(nullif(user_id, ''))))) AS user_id,
        known(exact(unquoted(nullif(category_id, '')))) AS category_id,
        known(nullif(category_code, '')) AS category_code,
        known(nullif(brand, '')) AS brand, known(nullif(product_name, '')) AS product_name,
        nullif(quantity, '') AS quantity, nullif(amount, '') AS amount)
    FROM rows
), valued AS (
    SELECT *, instant(event_time) AS happened, cents(price) AS unit_cents,
        CASE WHEN amount IS NULL THEN cents(price) * coalesce(whole_number(quantity), 1) ELSE cents(amount) END
            AS revenue
    FROM read
), signed AS (
    -- Without a quantity a line is one piece: sold, or returned where its total is negative.
    SELECT *, CASE WHEN quantity IS NOT NULL THEN whole_number(quantity) WHEN revenue < 0 THEN -1 ELSE 1 END AS pieces
    FROM valued
)
SELECT happened, order_id, product_id, user_id, category_code, brand, pieces, repaired, revenue,
    CASE
        WHEN NOT whole THEN 'bad_row'
        WHEN event_time IS NULL OR order_id IS NULL OR product_id IS NULL OR price IS NULL THEN 'missing_field'
        WHEN happened IS NULL OR happened < TIMESTAMP '2000-01-01' OR happened > $newest THEN 'bad_time'
        WHEN unit_cents IS NULL OR abs(unit_cents) > 999999999 THEN 'bad_price'
        WHEN pieces IS NULL OR abs(pieces) > 1000000 THEN 'bad_quantity'
        WHEN unit_cents < 0 AND quantity IS NOT NULL THEN 'bad_price'
        WHEN revenue IS NULL OR abs(revenue) > $max_line_cents THEN 'bad_amount'
        WHEN unit_cents < 0 AND pieces > 0 THEN 'bad_price'
        WHEN sign(revenue) * sign(pieces) < 0 THEN 'bad_amount'
        WHEN is_unclean(order_id, 128) OR is_unclean(product_id, 128)
            OR coalesce(is_unclean(user_id, 128), false) OR coalesce(is_unclean(category_id, 128), false)
            THEN 'bad_id'
        WHEN is_rounded(order_id) OR is_rounded(product_id) OR is_rounded(user_id) OR is_rounded(category_id)
            OR coalesce(regexp_full_match(user_id, '\d{16,}\.0'), false)
            OR coalesce(regexp_full_match(category_id, '\d{16,}\.0'), false) THEN 'damaged_id'
        WHEN coalesce(is_unclean(category_code, 256), false) OR coalesce(is_unclean(brand, 256), false)
            OR coalesce(is_unclean(product_name, 256), false)
            OR list_contains(string_split(category_code, '.'), '') OR len(string_split(category_code, '.')) > 8
            THEN 'bad_text'
    END AS refused
FROM signed;

CREATE TEMP TABLE lines AS
WITH local AS (
    SELECT *, timezone($zone, timezone('UTC', happened)) AS shop_time FROM judged WHERE refused IS NULL
)
SELECT * EXCLUDE (refused, shop_time),
    CAST(epoch(timezone($zone, date_trunc('month', shop_time))) AS BIGINT) AS month_start,
    CAST(epoch(timezone($zone, date_trunc('day', shop_time))) AS BIGINT) AS day_start,
    -- By the distance from the full hour of local time: the hour that a DST change repeats makes two buckets.
    CAST(epoch(happened) - epoch(shop_time) + epoch(date_trunc('hour', shop_time)) AS BIGINT) AS hour_start
FROM local;
"""


class UnusableFile(Exception):
    """A file that cannot be read as CSV in the seed layout; the message says why."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Row counts by result. `repaired` = accepted rows that had six fields."""

    rows: int
    accepted: int
    repaired: int
    refused: dict[str, int]

    @property
    def dead_letters(self) -> int:
        """Rows that are no event, for whatever reason."""
        return sum(self.refused.values())


class ReferenceFigures:
    """The rows of CSV files in an in-memory database. Close it after use."""

    def __init__(
        self,
        files: Sequence[Path],
        time_zone: str = "UTC",
        newest: datetime | None = None,
        no_customer: str = NO_CUSTOMER,
        max_line_cents: int = MAX_LINE_CENTS,
    ) -> None:
        """Read and validate the files; `newest` is the latest valid event time (default: now + one day).

        `no_customer`: ids that stand for no customer, separated by commas. `max_line_cents`: the largest total of a
        line. Raises UnusableFile.
        """
        self._zone = ZoneInfo(time_zone)
        self._database = duckdb.connect()
        self._database.execute("SET TimeZone = 'UTC'")
        names = ", ".join(f"{column} VARCHAR" for column in (*REQUIRED, *OPTIONAL))
        self._database.execute(f"CREATE TEMP TABLE rows ({names}, repaired BOOLEAN, whole BOOLEAN)")
        unreadable = sum(self._read(file) for file in files)
        latest = (newest or datetime.now(UTC) + timedelta(days=1)).astimezone(UTC).replace(tzinfo=None)
        sql = _SQL.replace("$zone", f"'{time_zone}'").replace("$newest", f"TIMESTAMP '{latest}'")
        sql = sql.replace("$max_line_cents", str(max_line_cents))
        self.ask(sql.replace("$no_customer", _text_list(no_customer)))
        self.counts = self._count(unreadable)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def sections(self) -> Sections:
        """All figures that hold for the whole shop."""
        sales = {f"sales by {granularity}": self.sales(granularity) for granularity in GRANULARITIES}
        tops = {f"top {kind}": self.top(kind, length) for kind, length in TOP_LENGTHS.items()}
        return {"totals": self.totals(), **sales, **tops}

    def totals(self) -> Section:
        """Revenue, pieces, distinct orders and buyers, events and dead letters."""
        [values] = self.ask(
            """SELECT coalesce(sum(revenue), 0), coalesce(sum(pieces), 0), count(DISTINCT order_id),
               count(DISTINCT user_id), count(*) FROM lines"""
        )
        figures = zip(("revenue", "quantity", "orders", "buyers", "events"), map(int, values), strict=True)
        return {**dict(figures), "dead_letters": self.counts.dead_letters}

    def sales(self, granularity: str, category: str | None = None) -> Section:
        """Revenue, pieces and distinct orders of each month, day or hour; a category takes in those below it."""
        rows = self.ask(
            f"""SELECT {granularity}_start, sum(revenue), sum(pieces), count(DISTINCT order_id) FROM lines
                WHERE $category IS NULL OR category_code = $category OR starts_with(category_code, $category || '.')
                GROUP BY 1 ORDER BY 1""",
            {"category": category},
        )
        starts = (datetime.fromtimestamp(row[0], self._zone) for row in rows)
        return sales_section((start.isoformat(), *row[1:]) for start, row in zip(starts, rows, strict=True))

    def top(self, kind: str, length: int) -> Section:
        """The first of a top list in order: id, revenue and pieces of each place, and its share of all revenue."""
        rows = self.ask(
            f"""SELECT {TOP_COLUMNS[kind]} AS id, sum(revenue), sum(pieces),
                sum(revenue) / nullif((SELECT CAST(sum(revenue) AS DOUBLE) FROM lines), 0)
                FROM lines WHERE {TOP_COLUMNS[kind]} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {length}"""
        )
        return top_section(rows)

    def categories_by_month(self) -> Section:
        """Each month of every category and of every level above one; what has no category is `unknown`."""
        rows = self.ask(
            """WITH leveled AS (
                   SELECT *, string_split(coalesce(category_code, 'unknown'), '.') AS parts,
                       unnest(range(1, len(parts) + 1)) AS depth
                   FROM lines)
               SELECT array_to_string(parts[:depth], '.') AS category, month_start,
                   sum(revenue), sum(pieces), count(DISTINCT order_id)
               FROM leveled GROUP BY 1, 2 ORDER BY 1, 2"""
        )
        return sales_section(
            (f"{category} {datetime.fromtimestamp(start, self._zone).isoformat()}", *figures)
            for category, start, *figures in rows
        )

    def brands(self) -> Section:
        """Revenue, pieces and distinct orders of every brand; what has none is `unknown`."""
        brand = TOP_COLUMNS["brands"]
        return sales_section(
            self.ask(
                f"SELECT {brand}, sum(revenue), sum(pieces), count(DISTINCT order_id) FROM lines GROUP BY 1 ORDER BY 1"
            )
        )

    def customer(self, user_id: str) -> Section:
        """A customer's spend, pieces and distinct orders, first and last purchase."""
        [[revenue, quantity, orders, first, last]] = self.ask(
            """SELECT sum(revenue), sum(pieces), count(DISTINCT order_id), min(happened), max(happened)
               FROM lines WHERE user_id = $user""",
            {"user": user_id},
        )
        seen = {"first_seen": first.replace(tzinfo=UTC).isoformat(), "last_seen": last.replace(tzinfo=UTC).isoformat()}
        return {"revenue": revenue, "quantity": quantity, "orders": orders, **seen}

    def _read(self, file: Path) -> int:
        """Append a file's rows to the table; returns how many could not even be split into fields."""
        columns = _columns(file)
        types = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
        # Only a field that is not there becomes NULL, never an empty one: so the fields of a row can be counted.
        self.ask(
            f"""INSERT INTO rows BY NAME {_by_name(columns)}
                FROM read_csv($file, columns = {{{types}}}, header = true, delim = ',', quote = '"', escape = '"',
                     nullstr = chr(1), null_padding = true, auto_detect = false, parallel = false,
                     store_rejects = true, max_line_size = {MAX_LINE_BYTES})""",
            {"file": str(file)},
        )
        [[unreadable]] = self.ask("SELECT count(DISTINCT line) FROM reject_errors")
        self.ask("DROP TABLE reject_errors; DROP TABLE reject_scans")
        return int(unreadable)

    def _count(self, unreadable: int) -> RowCounts:
        refused = dict(self.ask("SELECT refused, count(*) FROM judged WHERE refused IS NOT NULL GROUP BY 1 ORDER BY 1"))
        if unreadable:
            refused["bad_row"] = refused.get("bad_row", 0) + unreadable
        [[accepted, repaired]] = self.ask("SELECT count(*), count(*) FILTER (repaired) FROM lines")
        return RowCounts(accepted + sum(refused.values()), accepted, repaired, refused)

    def ask(self, sql: str, parameters: dict[str, Value] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query over `rows` (texts as in the files, repaired), `judged` (with `refused`) and `lines`."""
        return self._database.execute(sql, parameters or {}).fetchall()


def _text_list(names: str) -> str:
    """Names separated by commas as a list of SQL, in lower case."""
    quoted = (name.strip().lower().replace("'", "''") for name in names.split(","))
    return "[" + ", ".join(f"'{name}'" for name in quoted if name) + "]::VARCHAR[]"


def sales_section(rows: Iterable[Sequence[Any]]) -> Section:
    """Rows of (bucket or other name, revenue, quantity, orders) as one figure a name."""
    names = ("revenue", "quantity", "orders")
    return {f"{bucket} {name}": value for bucket, *figures in rows for name, value in zip(names, figures, strict=True)}


def top_section(rows: Iterable[Sequence[Any]]) -> Section:
    """Rows of (id, revenue, quantity) or (id, revenue, quantity, share), best first, as one figure a place and name."""
    names = ("id", "revenue", "quantity", "share")
    return {
        f"{place}. {name}": value for place, row in enumerate(rows, 1) for name, value in zip(names, row, strict=False)
    }


def _columns(file: Path) -> list[str]:
    """The header's columns; those that are none of ours under a name that cannot clash."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            first = lines.readline(MAX_LINE_BYTES).decode("utf-8-sig", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        raise UnusableFile(f"{file}: {error}") from None
    header = next(csv.reader([first]), [])
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        raise UnusableFile(f"{file}: the header lacks {', '.join(missing)}")
    known = (*REQUIRED, *OPTIONAL)
    return [column if column in known else f"ignored_{position}" for position, column in enumerate(header)]


def _by_name(columns: list[str]) -> str:
    """SELECT each known column, taken by its place in the row where a row has the six fields of a short one."""
    fields = " + ".join(f"CAST({column} IS NOT NULL AS INTEGER)" for column in columns)
    if columns[: len(SEED_LAYOUT)] == SEED_LAYOUT:
        repaired = f"({fields} = {len(SHORT_ROW)} AND {columns[SHORT_ROW.index('')]} = '')"
        places = {name: columns[place] for place, name in enumerate(SHORT_ROW)}
    else:
        repaired, places = "false", {}
    selected = (
        f"CASE WHEN {repaired} THEN {places.get(name, 'NULL')} ELSE {name if name in columns else 'NULL'} END AS {name}"
        for name in (*REQUIRED, *OPTIONAL)
    )
    return f"SELECT {', '.join(selected)}, {repaired} AS repaired, {repaired} OR {fields} = {len(columns)} AS whole"
