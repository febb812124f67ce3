"""The independent computation and the comparison: known files give known figures, and tampering is seen."""

import ast
import copy
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local import reference as truth_module
from local.reference import ReferenceFigures, UnusableFile
from local.served_figures import cents
from local.verify import NoAnswer, main, verify, wait_until_applied

NEWEST = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "event_time,order_id,product_id,category_id,category_code,brand,price,user_id"
ROWS = f"""{HEADER},quantity,amount,product_name
2020-04-24 11:50:39 UTC,o1,p1,c1,electronics.tablet,samsung,162.01,u1,2,,"Tab ""S"", big"
2020-04-24 11:50:39 UTC,o1,p2,c2,electronics.audio.headphone,,10.00,u1,,,
2020-04-24 12:10:00 UTC,o2,p1,,5.50,u2
2020-05-01 00:00:00 UTC,o3,p2,c2,electronics.audio.headphone,,10.00,u1,-1,,
2020-05-01 00:59:59 UTC,o4,p3,,,acme,0.00,,0,1.09,
1970-01-01 00:33:40 UTC,o5,p1,,,,1.00,u3,,,
2020-05-01 00:00:00 UTC,o6,p1,,,,1.234,u3,,,
2020-05-01 00:00:00 UTC,o6,p1,,,,--0,u3,,,
2020-05-01 00:00:00 UTC,o6,p1
2020-05-01 00:00:00 UTC,o6,p1,,,,1.00,u3,one,,
2020-05-01 00:00:00 UTC,,p1,,,,1.00,u3,,,
2020-05-01 00:00:00 UTC,o6,p1,,,,1.00,{"9" * 129},,,
2020-05-01 00:00:00 UTC,o6,p1,,,,1.00,u3,,,,,too many
"""


def figures(revenue: str, quantity: int, orders: int, **more: Any) -> dict[str, Any]:
    return {"revenue": revenue, "quantity": quantity, "orders": orders, **more}


def place(name: str, revenue: str, quantity: int, share: float) -> dict[str, Any]:
    return {"id": name, "revenue": revenue, "quantity": quantity, "share": share}


SALES = "/v1/stats/sales?granularity="
TABLET = "electronics.tablet"
# What a right gateway answers about ROWS, worked out by hand: revenue 324.02 + 10.00 + 5.50 - 10.00 + 1.09 = 330.61.
ANSWERS: dict[str, Any] = {
    "/v1/stats/summary": figures("330.61", 3, 4, buyers=2, events=5, dead_letters=8, lag=0, as_of="now"),
    f"{SALES}month": [
        figures("339.52", 4, 2, bucket="2020-04-01T00:00:00Z"),
        figures("-8.91", -1, 2, bucket="2020-05-01T00:00:00Z"),
    ],
    f"{SALES}day": [
        figures("339.52", 4, 2, bucket="2020-04-24T00:00:00Z"),
        figures("-8.91", -1, 2, bucket="2020-05-01T00:00:00Z"),
    ],
    f"{SALES}hour": [
        figures("334.02", 3, 1, bucket="2020-04-24T11:00:00Z"),
        figures("5.50", 1, 1, bucket="2020-04-24T12:00:00Z"),
        figures("-8.91", -1, 2, bucket="2020-05-01T00:00:00Z"),
    ],
    "/v1/stats/top/spenders?n=10": [place("u1", "324.02", 2, 324.02 / 330.61), place("u2", "5.50", 1, 5.5 / 330.61)],
    "/v1/stats/top/categories?n=15": [
        place(TABLET, "324.02", 2, 324.02 / 330.61),
        place("unknown", "6.59", 1, 6.59 / 330.61),
        place("electronics.audio.headphone", "0.00", 0, 0.0),
    ],
    "/v1/stats/top/brands?n=10": [
        place("samsung", "324.02", 2, 324.02 / 330.61),
        place("unknown", "5.50", 1, 5.5 / 330.61),
        place("acme", "1.09", 0, 1.09 / 330.61),
    ],
    "/v1/stats/top/products?n=10": [
        place("p1", "329.52", 3, 329.52 / 330.61),
        place("p3", "1.09", 0, 1.09 / 330.61),
        place("p2", "0.00", 0, 0.0),
    ],
    "/v1/users/u1": figures("324.02", 2, 2, first_seen="2020-04-24T11:50:39Z", last_seen="2020-05-01T00:00:00Z"),
    "/v1/users/u2": figures("5.50", 1, 1, first_seen="2020-04-24T12:10:00Z", last_seen="2020-04-24T12:10:00Z"),
    f"{SALES}month&category={TABLET}": [figures("324.02", 2, 1, bucket="2020-04-01T00:00:00Z")],
    f"{SALES}day&category={TABLET}": [figures("324.02", 2, 1, bucket="2020-04-24T00:00:00Z")],
    f"{SALES}month&category=electronics": [
        figures("334.02", 3, 1, bucket="2020-04-01T00:00:00Z"),
        figures("-10.00", -1, 1, bucket="2020-05-01T00:00:00Z"),
    ],
    f"{SALES}day&category=electronics": [
        figures("334.02", 3, 1, bucket="2020-04-24T00:00:00Z"),
        figures("-10.00", -1, 1, bucket="2020-05-01T00:00:00Z"),
    ],
}
HEADPHONES = [
    figures("10.00", 1, 1, bucket="2020-04-01T00:00:00Z"),
    figures("-10.00", -1, 1, bucket="2020-05-01T00:00:00Z"),
]
REPORT: dict[str, Any] = {
    "totals": {**figures("330.61", 3, 4), "buyers": 2, "events": 5, "dead_letters_in_archive": 0},
    "sales": {granularity: ANSWERS[f"{SALES}{granularity}"] for granularity in ("month", "day", "hour")},
    "top": {
        path.partition("top/")[2].partition("?")[0]: [
            {name: value for name, value in entry.items() if name != "share"} for entry in entries
        ]
        for path, entries in ANSWERS.items()
        if "/top/" in path
    },
    # o1 has a tablet and a headphone: one order of electronics.
    "categories_by_month": {
        "electronics": ANSWERS[f"{SALES}month&category=electronics"],
        "electronics.audio": HEADPHONES,
        "electronics.audio.headphone": HEADPHONES,
        TABLET: ANSWERS[f"{SALES}month&category={TABLET}"],
        "unknown": [
            figures("5.50", 1, 1, bucket="2020-04-01T00:00:00Z"),
            figures("1.09", 0, 1, bucket="2020-05-01T00:00:00Z"),
        ],
    },
    "brands": [
        {"id": "samsung", **figures("324.02", 2, 1)},
        {"id": "unknown", **figures("5.50", 1, 3)},
        {"id": "acme", **figures("1.09", 0, 1)},
    ],
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceFigures]:
    computed = ReferenceFigures([write(tmp_path_factory.mktemp("shop"), ROWS)], newest=NEWEST)
    yield computed
    computed.close()


@pytest.fixture
def answers() -> dict[str, Any]:
    return copy.deepcopy(ANSWERS)


@pytest.fixture
def report() -> dict[str, Any]:
    return copy.deepcopy(REPORT)


def write(folder: Path, text: str, name: str = "shop.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_rows_are_accepted_repaired_or_refused_with_a_reason(reference: ReferenceFigures) -> None:
    assert reference.counts.rows == 13
    assert reference.counts.accepted == 5
    assert reference.counts.repaired == 1
    assert reference.counts.refused == {
        "bad_time": 1,
        "bad_price": 2,
        "bad_row": 2,
        "bad_quantity": 1,
        "missing_field": 1,
        "bad_id": 1,
    }


def test_right_answers_have_no_difference(
    reference: ReferenceFigures, answers: dict[str, Any], report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(reference, answers.__getitem__, report) == 0
    printed = capsys.readouterr().out
    assert "13 rows = 5 events (1 of them repaired from six fields) + 8 dead letters" in printed
    assert "still lags" not in printed


@pytest.mark.parametrize("path", ANSWERS)
def test_any_tampered_answer_is_a_difference(
    reference: ReferenceFigures, answers: dict[str, Any], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tampered = answers[path][-1] if isinstance(answers[path], list) else answers[path]
    tampered["revenue"] = add_a_cent(tampered["revenue"])
    assert verify(reference, answers.__getitem__) == 1
    assert re.search(r"^all +\d+ +1$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("/v1/stats/summary", name) for name in ("quantity", "orders", "buyers", "events", "dead_letters")),
        *((f"{SALES}hour", name) for name in ("quantity", "orders")),
        ("/v1/stats/top/spenders?n=10", "quantity"),
        ("/v1/stats/top/spenders?n=10", "share"),
    ],
)
def test_any_tampered_figure_is_a_difference(
    reference: ReferenceFigures, answers: dict[str, Any], path: str, name: str
) -> None:
    tampered = answers[path][0] if isinstance(answers[path], list) else answers[path]
    tampered[name] += 1
    assert verify(reference, answers.__getitem__) == 1


def test_places_in_the_wrong_order_are_a_difference(reference: ReferenceFigures, answers: dict[str, Any]) -> None:
    answers["/v1/stats/top/spenders?n=10"].reverse()
    assert verify(reference, answers.__getitem__) == 1


def test_a_bucket_too_few_or_too_many_is_a_difference(reference: ReferenceFigures, answers: dict[str, Any]) -> None:
    bucket = answers[f"{SALES}hour"].pop()
    assert verify(reference, answers.__getitem__) == 1
    answers[f"{SALES}hour"] += [bucket, bucket | {"bucket": "2020-05-01T01:00:00Z"}]
    assert verify(reference, answers.__getitem__) == 1


@pytest.mark.parametrize("part", ["totals", "sales", "top"])
def test_a_tampered_report_is_a_difference(
    reference: ReferenceFigures, answers: dict[str, Any], report: dict[str, Any], part: str
) -> None:
    tampered = {"totals": report["totals"], "sales": report["sales"]["day"][0], "top": report["top"]["brands"][2]}[part]
    tampered["revenue"] = add_a_cent(tampered["revenue"])
    assert verify(reference, answers.__getitem__, report) == 1


@pytest.mark.parametrize("name", ["revenue", "quantity", "orders"])
@pytest.mark.parametrize(
    "path", [("categories_by_month", "electronics", 1), ("categories_by_month", "electronics.audio", 0), ("brands", 2)]
)
def test_a_tampered_category_or_brand_of_the_report_is_a_difference(
    reference: ReferenceFigures, answers: dict[str, Any], report: dict[str, Any], path: tuple[Any, ...], name: str
) -> None:
    tampered: Any = report
    for step in path:
        tampered = tampered[step]
    tampered[name] = add_a_cent(tampered[name]) if name == "revenue" else tampered[name] + 1
    assert verify(reference, answers.__getitem__, report) == 1


def test_a_category_or_brand_that_the_report_lacks_is_a_difference(
    reference: ReferenceFigures, answers: dict[str, Any], report: dict[str, Any]
) -> None:
    brand = report["brands"].pop()
    assert verify(reference, answers.__getitem__, report) == 1
    report["brands"].append(brand)
    del report["categories_by_month"]["electronics.audio"]
    assert verify(reference, answers.__getitem__, report) == 1


def test_a_report_of_fewer_events_is_named(
    reference: ReferenceFigures, answers: dict[str, Any], report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report["totals"]["events"] = 4
    assert verify(reference, answers.__getitem__, report) == 1
    assert "has fewer events than the live tables: `make train`" in capsys.readouterr().out


def test_a_gateway_that_is_behind_is_named(
    reference: ReferenceFigures, answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["/v1/stats/summary"] |= {"lag": 1234, "events": 4}
    assert verify(reference, answers.__getitem__) == 1
    assert "still lags by 1,234 records" in capsys.readouterr().out


@pytest.mark.parametrize(
    "summaries",
    [
        [{"lag": 7, "as_of": "1"}, {"lag": 3, "as_of": "2"}, {"lag": 0, "as_of": "3"}],
        [{"lag": 0, "as_of": "1"}, {"lag": 0, "as_of": "1"}, {"lag": 0, "as_of": "2"}],
    ],
)
def test_waiting_ends_with_totals_of_now_that_lack_nothing(summaries: list[dict[str, Any]]) -> None:
    answers = iter(summaries)
    assert wait_until_applied(lambda _: next(answers), 60, poll_s=0) == 0
    assert next(answers, None) is None


def test_waiting_ends_in_time(answers: dict[str, Any]) -> None:
    answers["/v1/stats/summary"]["lag"] = 5
    assert wait_until_applied(answers.__getitem__, 0) == 5


def test_an_answer_of_another_shape_cannot_be_compared(reference: ReferenceFigures, answers: dict[str, Any]) -> None:
    answers["/v1/stats/summary"]["revenue"] = 330.61
    with pytest.raises(NoAnswer, match="two places"):
        verify(reference, answers.__getitem__)


@pytest.mark.parametrize("text", ["1", "1.5", "1.234", "1e9.00", "NaN", "1,000.00", 1.25, None])
def test_money_that_is_no_decimal_string_is_not_read(text: Any) -> None:
    with pytest.raises(ValueError, match="two places"):
        cents(text)


def test_buckets_follow_the_shops_zone_and_its_change_of_clocks(tmp_path: Path) -> None:
    times = ("2020-10-24 22:30:00", "2020-10-25 00:30:00", "2020-10-25 01:30:00", "2020-12-31 23:30:00")
    rows = "".join(f"{time} UTC,o{number},p,,,,1.00,u\n" for number, time in enumerate(times))
    reference = ReferenceFigures([write(tmp_path, f"{HEADER}\n{rows}")], "Europe/Berlin", NEWEST)
    hours, days, months = ([name[:25] for name in reference.sales(each)][::3] for each in ("hour", "day", "month"))
    reference.close()
    assert hours == [
        "2020-10-25T00:00:00+02:00",
        "2020-10-25T02:00:00+02:00",
        "2020-10-25T02:00:00+01:00",
        "2021-01-01T00:00:00+01:00",
    ]
    assert days == ["2020-10-25T00:00:00+02:00", "2021-01-01T00:00:00+01:00"]
    assert months == ["2020-10-01T00:00:00+02:00", "2021-01-01T00:00:00+01:00"]


def test_two_files_with_different_columns_add_up(tmp_path: Path) -> None:
    more = write(tmp_path, "price,order_id,event_time,product_id\n2.00,o1,2020-04-24T13:00:00.5+02:00,p9\n", "b.csv")
    reference = ReferenceFigures([write(tmp_path, ROWS), more], newest=NEWEST)
    totals, hours = reference.totals(), reference.sales("hour")
    reference.close()
    assert (totals["revenue"], totals["events"], totals["orders"]) == (33261, 6, 4)
    assert hours["2020-04-24T11:00:00+00:00 revenue"] == 33602


def test_a_file_with_a_header_alone_has_no_figures(tmp_path: Path) -> None:
    reference = ReferenceFigures([write(tmp_path, f"{HEADER}\n")])
    sections = reference.sections()
    reference.close()
    totals = sections.pop("totals")
    assert set(totals.values()) == {0}
    assert not any(sections.values())


@pytest.mark.parametrize("text", ["", "event_time,order_id\n1,2\n"])
def test_a_file_without_the_columns_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnusableFile, match=r"shop\.csv: the header lacks .*product_id, price"):
        ReferenceFigures([write(tmp_path, text)])


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r"none\.csv"):
        ReferenceFigures([tmp_path / "none.csv"])


def test_the_computation_shares_no_code_with_the_services() -> None:
    tree = ast.parse(Path(truth_module.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not [name for name in modules if name and name.startswith(("services", "local", "spark"))]


def add_a_cent(revenue: str) -> str:
    more = cents(revenue) + 1
    sign = "-" if more < 0 else ""
    return f"{sign}{abs(more) // 100}.{abs(more) % 100:02d}"


def test_wrong_settings_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLSTREAM_TIME_ZONE", "Mars/Olympus")
    assert main(["--csv", str(tmp_path / "none.csv")]) == 2
    said = capsys.readouterr().err
    assert said == "TILLSTREAM_TIME_ZONE: 'Mars/Olympus' is not an IANA time zone such as Europe/Berlin\n"
