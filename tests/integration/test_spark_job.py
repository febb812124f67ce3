"""The whole batch job against a real S3 server: an archive of a hundred lines whose figures were added up by hand.

The shop stands in Berlin. Twenty customers hold a checkerboard: customer u bought the products of u's parity, except
product u modulo 10. What else lies in the archive is spelled out below, line by line.
"""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import read_csv
from pyarrow.json import read_json

from local.engines import S3Engine
from recsys.catalogue import Filters
from recsys.model import load_model
from recsys.model_format import InvalidModel
from recsys.recommender import Recommender
from recsys.variety import Variety
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.times import format_time
from spark import export
from spark.jars import JarsMissing, connector_jars
from spark.settings import JobSettings
from tests.support.purchase_log import two_worlds
from tests.support.spark_job import JobRun, run_here

ROOT = Path(__file__).resolve().parents[2]
BROKER_MS = 1_712_275_200_000  # 2024-04-05T00:00:00Z
USERS, PRODUCTS = 20, 10
Line = dict[str, Any]


def user_id(number: int) -> str:
    """Ids that a double cannot tell apart."""
    return str(9_007_199_254_740_993 + number)


def product_id(number: int) -> str:
    return str(1_515_966_223_509_089_906 + number)


def event(time: str, order: str, product: str, user: str | None, price: object, **more: object) -> Line:
    return {"event_time": time, "order_id": order, "product_id": product, "user_id": user, "price": price, **more}


def record(partition: int, offset: int, value: object) -> Line:
    return {"partition": partition, "offset": offset, "timestamp": BROKER_MS + offset, "value": value}


def checkerboard() -> list[Line]:
    """80 lines of 10.00 at noon UTC on 10 March: partition 0, offsets 0 to 79, event_ids till:1 to till:80."""
    pairs = [
        (user, product)
        for user in range(USERS)
        for product in range(PRODUCTS)
        if user % 2 == product % 2 and product != user % 10
    ]
    return [
        record(
            0,
            row,
            event(
                "2024-03-10T12:00:00Z",
                f"order-{user}",
                product_id(product),
                user_id(user),
                "10.00",
                event_id=f"till:{row + 1}",
                brand="acme",
                category_code="kitchen" if product % 2 else "garden.tools",
                product_name=f"=SUM({product})",
            ),
        )
        for row, (user, product) in enumerate(pairs)
    ]


GARDEN = {"brand": "acme", "category_code": "garden.tools"}
KITCHEN = {"brand": "acme", "category_code": "kitchen"}
EDGES = [
    # Half past one on 1 April in Berlin, still March in UTC; neither category nor brand.
    record(1, 0, event("2024-03-31T23:30:00Z", "o-b", "p-berlin", "berlin", "19.99", quantity=3)),
    # Bought and given back: no revenue, no interest.
    record(1, 1, event("2024-04-02T08:00:00Z", "o-r1", "p-ret", "returner", "5.00", quantity=2, **GARDEN)),
    record(1, 2, event("2024-04-03T08:00:00Z", "o-r2", "p-ret", "returner", "5.00", quantity="-2", **GARDEN)),
    # Anonymous, one with a total of its own.
    record(1, 3, event("2024-04-02T09:15:00Z", "o-a", "p-anon", None, 0.1, category_code="kitchen", brand="")),
    record(1, 4, event("2024-04-02T09:15:00Z", "o-a", "p-anon2", "", "0.20", amount="0.15", category_code="kitchen")),
    # Without event_id: equal lines at two offsets are two pieces.
    record(2, 7, event("2024-04-04T10:00:00Z", "o-twice", "p-twice", "twice", "2.00", **KITCHEN)),
    record(2, 8, event("2024-04-04T10:30:00Z", "o-pc", "p-twice", "twice", "2.00", product_name="Twice", **KITCHEN)),
    record(2, 9, event("2024-04-04T10:30:00Z", "o-pc", "p-twice", "twice", "2.00", product_name="Twice", **KITCHEN)),
    # Rejected: text, bytes, an exponent, an old date; and one whose identity a repaired line takes up later.
    record(3, 0, "hello"),
    {"partition": 3, "offset": 1, "timestamp": BROKER_MS, "value_base64": "//4="},
    record(3, 2, event("2024-04-04T10:00:00Z", "o-x", "p-x", "x", "1e9")),
    record(3, 3, event("1970-01-01 00:33:40 UTC", "o-x", "p-x", "x", "1.00")),
    record(3, 4, event("2024-04-04T11:00:00Z", "o-fix", "p-fix", "fixed", "3.00", quantity=1.5, event_id="fix:1")),
    record(3, 5, event("2024-04-04T11:00:00Z", "o-fix", "p-fix", "fixed", "3.00", event_id="fix:1", **KITCHEN)),
    # A canary counts nowhere; it is only where partition 2 ends.
    record(2, 10, {"canary": "0123456789abcdef"}),
]
REPEATS = [
    # The line till:1 sent again, by another partition and without its customer; then three records archived twice.
    record(1, 80, event("2024-03-10T12:00:00Z", "order-0", product_id(2), None, "10.00", event_id="till:1")),
    record(2, 7, event("2024-04-04T10:00:00Z", "o-twice", "p-twice", "twice", "2.00", **KITCHEN)),
    record(3, 3, event("1970-01-01 00:33:40 UTC", "o-x", "p-x", "x", "1.00")),
    record(2, 10, {"canary": "0123456789abcdef"}),
]
BARE = event("2024-04-02 10:00:00 UTC", "o-plain", "p-plain", "plain", "1.50", category_id="", **GARDEN)
PLAIN = [json.dumps(BARE), json.dumps(BARE), "{broken"]
ARCHIVE = "raw/purchases/2024/04/05/00/"


def put_lines(store: ObjectStore, name: str, lines: list[Line] | list[str]) -> None:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    store.put_new(f"{ARCHIVE}{name}.json.gz", gzip.compress(text.encode()))


@pytest.fixture(scope="module")
def jars() -> Path:
    """The S3A connector, which a developer's `make test` has fetched before."""
    folder = ROOT / JobSettings().spark_jars
    try:
        connector_jars(folder)
    except JarsMissing as missing:
        pytest.fail(str(missing))
    return folder


@dataclass(frozen=True)
class Shop:
    """A bucket of the test's own, and the job on it."""

    store: ObjectStore
    s3: S3Settings
    jars: Path
    scratch: Path

    def run_job(self, *arguments: str, **settings: str) -> JobRun:
        return run_here(["run", *arguments], self._environment(settings))

    def export(self, *arguments: str) -> JobRun:
        return run_here(list(arguments), self._environment({"spark_shuffle_partitions": "2"}), export.main)

    def run_process(self, **settings: str) -> JobRun:
        """The job as a process of its own, as `python -m spark run` starts it."""
        done = subprocess.run(
            [sys.executable, "-m", "spark", "run"],
            env=os.environ | self._environment(settings),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        return JobRun(done.returncode, done.stderr)

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        secret = self.s3.s3_secret_key
        own = {
            "s3_endpoint": self.s3.s3_endpoint or "",
            "s3_bucket": self.store.bucket,
            "s3_access_key": self.s3.s3_access_key or "",
            "s3_secret_key": secret.get_secret_value() if secret else "",
            "spark_jars": str(self.jars),
            "spark_dir": str(self.scratch),
            "spark_driver_memory": "1g",
            "time_zone": "Europe/Berlin",
        }
        return {f"TILLSTREAM_{name.upper()}": value for name, value in {**own, **settings}.items()}

    def json(self, key: str) -> Any:
        return json.loads(self.store.get(key))

    def figures(self) -> Any:
        return self.json(f"reports/{self.json('reports/latest.json')['version']}/figures.json")

    def table(self, version: str, name: str, folder: str = "models/als") -> "pa.Table":
        keys = [key for key, _ in self.store.list(f"{folder}/{version}/{name}/") if key.endswith(".parquet")]
        return pa.concat_tables(pq.read_table(io.BytesIO(self.store.get(key))) for key in keys)


@pytest.fixture(scope="module")
def new_shop(s3_engine: S3Engine, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    stores: list[ObjectStore] = []

    def make() -> Shop:
        settings = s3_engine.settings(bucket=f"test-{uuid.uuid4().hex[:12]}")
        stores.append(ObjectStore(settings))
        stores[-1].create_bucket()
        return Shop(stores[-1], settings, jars, tmp_path_factory.mktemp("spark"))

    yield make
    for store in stores:
        store.close()


@pytest.fixture(scope="module")
def shop(new_shop: Any) -> Shop:
    """The hand-made archive after one run of the job."""
    shop: Shop = new_shop()
    put_lines(shop.store, "0-00000000000000000000", checkerboard())
    put_lines(shop.store, "1-00000000000000000000", EDGES)
    put_lines(shop.store, "2-repeats", REPEATS)
    put_lines(shop.store, "another-archiver", PLAIN)
    done = shop.run_job()
    assert done.returncode == 0, done.stderr
    assert f"model {shop.json('models/als/current.json')['version']} is live" in done.stderr
    return shop


@pytest.fixture(scope="module")
def figures(shop: Shop) -> Any:
    return shop.figures()


@pytest.fixture(scope="module")
def version(shop: Shop) -> str:
    return str(shop.json("models/als/current.json")["version"])


def bucket(start: str, revenue: str, quantity: int, orders: int) -> Line:
    return {"bucket": start, "revenue": revenue, "quantity": quantity, "orders": orders}


def entry(name: str, revenue: str, quantity: int) -> Line:
    return {"id": name, "revenue": revenue, "quantity": quantity}


def test_totals(figures: Any) -> None:
    assert figures["totals"] == {
        "revenue": "872.22",
        "quantity": 91,
        "orders": 28,
        "buyers": 25,
        "events": 91,
        "dead_letters_in_archive": 6,
    }


def test_every_record_is_accounted_for(figures: Any) -> None:
    assert figures["curation"] == {
        "records": 100,
        "accepted": 91,
        "repeats": 3,
        "rejected": {"bad_price": 1, "bad_quantity": 1, "bad_time": 1, "not_json": 3},
        "unknown_category": 1,
        "unknown_brand": 3,
        "anonymous": 2,
        "plain_lines": 3,
    }
    assert figures["offsets"] == {"0": 80, "1": 81, "2": 11, "3": 6}


def test_sales_follow_the_shops_calendar(figures: Any) -> None:
    assert figures["sales"]["month"] == [
        bucket("2024-03-01T00:00:00+01:00", "800.00", 80, 20),
        bucket("2024-04-01T00:00:00+02:00", "72.22", 11, 8),
    ]
    assert figures["sales"]["day"] == [
        bucket("2024-03-10T00:00:00+01:00", "800.00", 80, 20),
        bucket("2024-04-01T00:00:00+02:00", "59.97", 3, 1),
        bucket("2024-04-02T00:00:00+02:00", "13.25", 6, 3),
        bucket("2024-04-03T00:00:00+02:00", "-10.00", -2, 1),
        bucket("2024-04-04T00:00:00+02:00", "9.00", 4, 3),
    ]
    assert figures["sales"]["hour"] == [
        bucket("2024-03-10T13:00:00+01:00", "800.00", 80, 20),
        bucket("2024-04-01T01:00:00+02:00", "59.97", 3, 1),
        bucket("2024-04-02T10:00:00+02:00", "10.00", 2, 1),
        bucket("2024-04-02T11:00:00+02:00", "0.25", 2, 1),
        bucket("2024-04-02T12:00:00+02:00", "3.00", 2, 1),
        bucket("2024-04-03T10:00:00+02:00", "-10.00", -2, 1),
        bucket("2024-04-04T12:00:00+02:00", "6.00", 3, 2),
        bucket("2024-04-04T13:00:00+02:00", "3.00", 1, 1),
    ]


def test_top_lists_are_by_revenue_then_id(figures: Any) -> None:
    top = figures["top"]
    assert top["spenders"] == [entry("berlin", "59.97", 3), *(entry(user_id(u), "40.00", 4) for u in range(9))]
    assert top["categories"] == [
        entry("kitchen", "409.25", 46),
        entry("garden.tools", "403.00", 42),
        entry("unknown", "59.97", 3),
    ]
    assert top["products"] == [entry(product_id(p), "80.00", 8) for p in range(PRODUCTS)]
    assert top["brands"] == [entry("acme", "812.00", 86), entry("unknown", "60.22", 5)]


def test_categories_by_month_take_in_those_below(figures: Any) -> None:
    """`garden` has no line of its own: all its months come from garden.tools."""
    garden = [
        bucket("2024-03-01T00:00:00+01:00", "400.00", 40, 10),
        bucket("2024-04-01T00:00:00+02:00", "3.00", 2, 3),  # o-r1, o-r2 and o-plain
    ]
    kitchen = [
        bucket("2024-03-01T00:00:00+01:00", "400.00", 40, 10),
        bucket("2024-04-01T00:00:00+02:00", "9.25", 6, 4),  # o-a, o-twice, o-pc and o-fix
    ]
    unknown = [bucket("2024-04-01T00:00:00+02:00", "59.97", 3, 1)]
    assert figures["categories_by_month"] == {
        "garden": garden,
        "garden.tools": garden,
        "kitchen": kitchen,
        "unknown": unknown,
    }


def test_an_order_counts_once_a_level_and_brand(figures: Any) -> None:
    """Orders of acme: twenty of the checkerboard, o-r1, o-r2, o-plain, o-twice, o-pc, o-fix; of none: o-b and o-a."""
    assert figures["brands"] == [
        entry("acme", "812.00", 86) | {"orders": 26},
        entry("unknown", "60.22", 5) | {"orders": 2},
    ]


def test_products_and_customers_lie_beside_the_figures(shop: Shop, figures: Any) -> None:
    products = shop.table(figures["version"], "products", "reports")
    assert products.schema.field("revenue").type == pa.int64()
    amounts = {row.pop("product_id"): row for row in products.to_pylist()}
    assert len(amounts) == 17
    assert amounts[product_id(2)] == {"revenue": 8000, "quantity": 8, "orders": 8}
    assert amounts["p-twice"] == {"revenue": 600, "quantity": 3, "orders": 2}
    assert amounts["p-ret"] == {"revenue": 0, "quantity": 0, "orders": 2}
    customers = shop.table(figures["version"], "customers", "reports")
    spent = {row.pop("user_id"): row for row in customers.to_pylist()}
    assert len(spent) == 25
    assert spent[user_id(3)] == {"revenue": 4000, "quantity": 4, "orders": 1}
    assert spent["berlin"] == {"revenue": 5997, "quantity": 3, "orders": 1}
    assert spent["twice"] == {"revenue": 600, "quantity": 3, "orders": 2}


def test_the_manifest_names_every_file_with_its_hash(shop: Shop, version: str) -> None:
    manifest = shop.json(f"models/als/{version}/manifest.json")
    folder = f"models/als/{version}/"
    stored = {key.removeprefix(folder) for key, _ in shop.store.list(folder) if key.endswith(".parquet")}
    assert {file["path"] for file in manifest["files"]} == stored
    for file in manifest["files"]:
        body = shop.store.get(folder + file["path"])
        assert (file["sha256"], file["bytes"]) == (hashlib.sha256(body).hexdigest(), len(body))
        assert file["rows"] == pq.read_metadata(io.BytesIO(body)).num_rows
    rows = {name: sum(f["rows"] for f in manifest["files"] if f["path"].startswith(f"{name}/")) for name in TABLES}
    assert rows == TABLES
    assert (manifest["format_version"], manifest["version"], manifest["algorithm"]) == (2, version, "als")
    assert (manifest["users"], manifest["items"], manifest["rank"]) == (24, 14, 64)
    assert manifest["training"] == {
        "from": "2024-03-10T12:00:00Z",
        "to": "2024-03-10T12:00:00Z",  # eleven lines of April are not yet the shop's now
        "offsets": {"0": 80, "1": 81, "2": 11, "3": 6},
    }
    assert manifest["settings"]["solver"] == "driver"
    assert manifest["counts"]["pairs"] == 84
    assert not list(shop.store.list("checkpoints/"))


def holdings(shop: Shop, version: str) -> dict[str, dict[str, int]]:
    """Customer → product → pieces."""
    rows = shop.table(version, "known_purchases").to_pylist()
    return {row["user_id"]: dict(zip(row["product_ids"], row["pieces"], strict=True)) for row in rows}


# Held: 20 checkerboard customers, berlin, plain, twice and fixed. The popular: ten of the week, seven of all time.
# A customer of both categories there is not, so each is tied to itself alone. The trends are those of 10 March,
# at the decay of customers and at that of baskets.
TABLES = {
    "user_factors": 24,
    "item_factors": 14,
    "catalogue": 17,
    "popularity": 17,
    "known_purchases": 24,
    "co_purchases": 14,
    "order_pairs": 17,
    "category_ties": 2,
    "trends": 20,
}


def test_the_model_completes_the_checkerboard(shop: Shop, version: str) -> None:
    users, products = shop.table(version, "user_factors"), shop.table(version, "item_factors")
    user_factors = np.array(users["factors"].to_pylist(), np.float32)
    product_factors = np.array(products["factors"].to_pylist(), np.float32)
    known = holdings(shop, version)
    names = [str(name) for name in products["product_id"].to_pylist()]
    best = {}
    for user, factors in zip(map(str, users["user_id"].to_pylist()), user_factors, strict=True):
        scores = product_factors @ factors
        new = [number for number, name in enumerate(names) if name not in known[user]]
        best[user] = names[max(new, key=lambda number: scores[number])]
    assert {u: best[user_id(u)] for u in range(USERS)} == {u: product_id(u % 10) for u in range(USERS)}


def test_the_export_is_what_the_recommender_answers(shop: Shop, version: str) -> None:
    model = load_model(shop.store, f"models/als/{version}", version)
    recommender = Recommender(model, model.live_state(), variety=Variety())
    expected = [
        (user, rank, model.catalogue.product_ids[pick.product], pick.score, answer.strategy.value)
        for user in sorted(holdings(shop, version))
        for answer in [recommender.for_user(user, 4, Filters(), 2 * BROKER_MS)]
        for rank, pick in enumerate(answer.picks, start=1)
    ]
    assert len(expected) == 96
    readers: dict[str, Callable[[io.BytesIO], pa.Table]] = {
        "parquet": pq.read_table,
        "csv": read_csv,
        "jsonl": read_json,
    }
    done = shop.export("recommendations", "--k", "4", "--format", *readers)
    assert done.returncode == 0, done.stderr
    for kind, read in readers.items():
        folder = f"reports/recommendations/{version}/k4-{kind}/"
        assert f"96 rows in s3://{shop.store.bucket}/{folder}\n" in done.stderr
        rows = [
            row
            for key, size in shop.store.list(folder)
            if size and not key.endswith("_SUCCESS")
            for row in read(io.BytesIO(shop.store.get(key))).to_pylist()
        ]
        found = [
            (str(row["user_id"]), row["rank"], str(row["product_id"]), row["score"], row["strategy"]) for row in rows
        ]
        assert sorted(found) == expected, kind
        assert {row["model_version"] for row in rows} == {version}
        formulas = {row["product_name"] for row in rows if "SUM" in (row["product_name"] or "")}
        assert {name[: name.index("S")] for name in formulas} == {"'=" if kind == "csv" else "="}


def test_an_export_of_no_model_says_so(shop: Shop) -> None:
    done = shop.export("recommendations", "--version", "none")
    assert done.returncode == 1
    assert done.stderr.startswith("failed: there is no model 'none': `python -m services.models list`")


def test_known_purchases_are_what_a_customer_still_holds(shop: Shop, version: str) -> None:
    known = holdings(shop, version)
    assert "returner" not in known
    assert known["berlin"] == {"p-berlin": 3}
    assert known["twice"] == {"p-twice": 3}
    assert known[user_id(3)] == {product_id(p): 1 for p in (1, 5, 7, 9)}


def test_the_catalogue_says_what_the_newest_line_said(shop: Shop, version: str) -> None:
    catalogue = {row["product_id"]: row for row in shop.table(version, "catalogue").to_pylist()}
    assert catalogue["p-twice"] == {
        "product_id": "p-twice",
        "product_name": "Twice",
        "category_code": "kitchen",
        "brand": "acme",
        "price_cents": 200,
        "last_sold_ms": 1_712_226_600_000,  # 2024-04-04T10:30:00Z
    }
    assert catalogue["p-berlin"]["category_code"] is None
    assert catalogue["p-ret"]["last_sold_ms"] == 1_712_044_800_000  # sold on 2 April; given back on the 3rd


def test_the_popular_of_the_week_come_first_and_what_lies_ahead_fills_up(shop: Shop, version: str) -> None:
    popular = shop.table(version, "popularity").to_pylist()
    week = [(product_id(product), 8.0) for product in range(PRODUCTS)]
    assert [(row["product_id"], row["score"]) for row in popular[:PRODUCTS]] == week
    assert [(row["product_id"], row["score"]) for row in popular[PRODUCTS:]] == [
        ("p-twice", 3 / 4),
        ("p-plain", 2 / 3),
        ("p-anon", 1 / 2),
        ("p-anon2", 1 / 2),
        ("p-berlin", 1 / 2),  # three pieces, one line
        ("p-fix", 1 / 2),
        ("p-ret", 1 / 2),
    ]


def test_a_source_sent_again_changes_no_figure(shop: Shop, figures: Any, version: str) -> None:
    """Runs after the others: it adds to the archive."""
    put_lines(shop.store, "0-00000000000000000081", [line | {"offset": line["offset"] + 81} for line in checkerboard()])
    done = shop.run_job("--until", "report", driver_lines="0")  # by Spark; the figures before are the driver's
    assert done.returncode == 0, done.stderr
    again = shop.figures()
    assert again["version"] > figures["version"]
    parts = ("totals", "sales", "categories_by_month", "top", "brands")
    assert {name: again[name] for name in parts} == {name: figures[name] for name in parts}
    assert (again["curation"]["records"], again["curation"]["repeats"]) == (180, 83)
    assert again["offsets"]["0"] == 161
    assert shop.json("models/als/current.json")["version"] == version


def till_lines(permuted: bool) -> list[Line]:
    """Customers who keep to their world of twenty products, or the same orders dealt to customers by chance."""
    log = two_worlds(500, seed=2, permuted=permuted)
    lines = []
    for line in range(len(log)):
        moment = format_time(int(log.at_ms[line]))
        product = log.products[int(log.rows[line])]
        lines.append(event(moment, f"o{log.orders[line]}", product, log.user(line), "1.00", category_code="world"))
    return [record(0, number, line) for number, line in enumerate(lines)]


@pytest.mark.timeout(600)  # two runs of the job
def test_the_gate_lets_a_personal_configuration_pass_until_customers_are_permuted(new_shop: Any) -> None:
    """What sells stays the same, nothing personal is left: the live configuration is refused, and something serves."""
    shop: Shop = new_shop()
    small = {"als_rank": "4", "als_iterations": "4", "search_candidates": "0", "spark_shuffle_partitions": "2"}
    put_lines(shop.store, "0-honest", till_lines(permuted=False))
    honest = shop.run_job(**small)
    assert honest.returncode == 0, honest.stderr
    first = shop.json("models/als/current.json")["version"]
    gate = shop.json("reports/gate/latest.json")
    assert (gate["version"], gate["verdict"], gate["winner"]) == (first, "published", "candidate")
    assert [check["passed"] for check in gate["checks"]] == [True] * 4
    manifest = shop.json(f"models/als/{first}/manifest.json")
    assert manifest["gate"] == gate
    assert manifest["composition"]["neighbours"] > 0
    assert shop.json(f"models/als/{first}/metrics.json")["rolling"]["warm"]["questions"] > 100
    assert b"Would our recommendations have been bought?" in shop.store.get(f"models/als/{first}/report.html")

    shop.store.delete(f"{ARCHIVE}0-honest.json.gz")
    put_lines(shop.store, "0-permuted", till_lines(permuted=True))
    permuted = shop.run_job(**small, driver_lines="0")  # its tables are Spark's
    assert permuted.returncode == 0, permuted.stderr
    pointer = shop.json("models/als/current.json")
    gate = shop.json(f"reports/gate/{pointer['version']}.json")
    assert (pointer["previous"], gate["verdict"], gate["winner"]) == (first, "published", "popularity")
    live = next(config for config in gate["recipes"] if config["name"] == "live")
    assert "too little speaks for its being better than popular products" in live["refused"]
    assert live["refused"] in gate["reason"]
    assert shop.json(f"models/als/{pointer['version']}/manifest.json")["composition"]["neighbours"] == 0

    # Both can serve, until a file is damaged; then that version alone cannot.
    for version in (first, pointer["version"]):
        assert load_model(shop.store, f"models/als/{version}", version).version == version
    damaged = next(key for key, _ in shop.store.list(f"models/als/{first}/item_factors/") if key.endswith(".parquet"))
    shop.store.put(damaged, shop.store.get(damaged)[:-1] + b"?")
    with pytest.raises(InvalidModel, match="does not match its sha256"):
        load_model(shop.store, f"models/als/{first}", first)


def test_without_known_customers_there_is_a_report_and_no_model(new_shop: Any) -> None:
    shop: Shop = new_shop()
    put_lines(
        shop.store, "0-00000000000000000000", [record(0, 0, event("2024-04-04T10:00:00Z", "o", "p", None, "1.00"))]
    )
    done = shop.run_job()
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("no model: no known customer")
    assert shop.figures()["totals"]["revenue"] == "1.00"
    assert shop.figures()["no_model"].startswith("no known customer")
    assert not list(shop.store.list("models/"))


def test_an_empty_archive_gives_a_report_of_zeros(new_shop: Any) -> None:
    shop: Shop = new_shop()
    done = shop.run_job()
    assert done.returncode == 0, done.stderr
    figures = shop.figures()
    assert figures["totals"] == {
        "revenue": "0.00",
        "quantity": 0,
        "orders": 0,
        "buyers": 0,
        "events": 0,
        "dead_letters_in_archive": 0,
    }
    assert figures["sales"] == {"month": [], "day": [], "hour": []}
    assert (figures["categories_by_month"], figures["brands"]) == ({}, [])
    assert not len(shop.table(figures["version"], "products", "reports"))


def test_a_missing_bucket_is_said_in_one_line(new_shop: Any) -> None:
    shop: Shop = new_shop()
    done = shop.run_process(s3_bucket="no-such-bucket")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("failed: there is no bucket 'no-such-bucket'")
    assert "\n" not in done.stderr.strip()


def test_a_missing_connector_is_said_in_one_line(new_shop: Any, tmp_path: Path) -> None:
    shop: Shop = new_shop()
    done = shop.run_process(spark_jars=str(tmp_path))
    assert done.returncode == 1
    assert "python -m spark jars" in done.stderr
    assert "\n" not in done.stderr.strip()
