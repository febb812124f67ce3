"""What a file decides, what it does not, and what `inspect` prints and writes."""

import io
from pathlib import Path

import pytest

from services.producer import convert_command, inspect_command
from services.producer.layouts.file import MappedFile
from services.producer.layouts.inspection import Answers, Undecided, propose
from services.producer.layouts.mapping import read_mapping
from services.producer.layouts.review import mapping_needed, review
from services.producer.rows import RejectedRow
from services.producer.source import BadFile
from tests.support import layouts
from tests.support.layouts import events, proposed, sent
from tests.support.producer import HEADER, row
from tests.support.workbook import Cell, write_workbook

AMBIGUOUS = "Date,Order,SKU,Price\n03/04/2024,A,p,12.50\n05/06/2024,B,p,7\n"


def write(folder: Path, text: str, name: str = "orders.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        (AMBIGUOUS, r"Is '03/04/2024' in orders.csv day/month or month/day\?", {"day-first", "month-first"}),
        (
            AMBIGUOUS.replace("03/04/2024", "2024-04-03")
            .replace("05/06", "2024-06-05")
            .replace("/2024", "")
            .replace("12.50", '"12,500"'),
            "Which number is '12,500'",
            {",", "."},
        ),
        (
            "Date,Order,Colour,Price\n2024-01-01,A,red,1.00\n",
            r"Which column of orders.csv is the product \(product_id\)\?",
            {f"product_id={name}" for name in ("Date", "Order", "Colour", "Price")},
        ),
        (
            "Date,Order,SKU,Price,Currency\n2024-01-01,A,p,1.00,EUR\n2024-01-01,B,p,1.00,USD\n",
            "amounts in EUR, USD: the rows of which one count",
            {"Currency=EUR", "Currency=USD"},
        ),
    ],
)
def test_what_nothing_decides_is_a_question(tmp_path: Path, text: str, question: str, options: set[str]) -> None:
    with pytest.raises(Undecided, match=question) as undecided:
        propose(write(tmp_path, text), Answers(), "UTC")
    assert {value for _, value in undecided.value.choices.values()} == options


def test_sheets_are_a_question(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["Date", "Order", "SKU", "Price"], ["2024-01-01 10:00", "A", "p", 1.5]]
    path = write_workbook(tmp_path / "two.xlsx", {"2023": rows, "2024": rows})
    with pytest.raises(Undecided, match="several sheets"):
        propose(path, Answers(), "UTC")
    assert propose(path, Answers(sheet="2024"), "UTC").mapping.sheet == "2024"


def test_a_row_far_below_decides(tmp_path: Path) -> None:
    body = "".join(f"03/04/2024,{number},p,1.00\n" for number in range(20_500))
    path = write(tmp_path, f"Date,Order,SKU,Price\n{body}13/04/2024,x,p,1.00\n")
    assert propose(path, Answers(), "UTC").mapping.dates == "day-first"


def test_answers_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path, AMBIGUOUS)
    by_day, by_month = (proposed(path, "Europe/Berlin", dates=order).mapping for order in ("day-first", "month-first"))
    assert [event["event_time"][:10] for event in events(path, by_day)] == ["2024-04-02", "2024-06-04"]
    assert [event["event_time"][:10] for event in events(path, by_month)] == ["2024-03-03", "2024-05-05"]
    assert by_day.zone == "Europe/Berlin"


def test_a_total_of_the_order_is_not_taken_for_that_of_the_line(tmp_path: Path) -> None:
    header = "Date,Order,SKU,Price,Quantity,Subtotal\n"
    order = write(tmp_path, header + "2024-01-01,A,p,1.00,2,7.00\n2024-01-01,A,q,5.00,1,7.00\n")
    proposal = proposed(order)
    assert "amount" not in proposal.mapping.columns
    assert any("'Subtotal' is price × quantity in 0 of 2 rows only" in note for note in proposal.notes)
    line = write(tmp_path, header + "2024-01-01,A,p,1.00,2,2.00\n2024-01-01,A,q,5.00,1,4.50\n")
    assert proposed(line).mapping.columns["amount"] == ["Subtotal"]


def test_amounts_of_two_currencies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="amounts in EUR, USD"):
        propose(write(tmp_path, "Date,Order,SKU,Price\n2024-01-01,A,p,€1\n2024-01-01,B,p,$1\n"), Answers(), "UTC")


def test_the_plain_layout_needs_no_mapping(tmp_path: Path) -> None:
    rows = [row(1), row(2).replace("2020-04-24", "1970-01-01"), "half a row"]
    path = write(tmp_path, "\n".join([HEADER, *rows]))
    assert mapping_needed(path, Answers(), "UTC") is None
    found = review(path, None)
    assert (found.rows, found.accepted, {reason.value for reason in found.refused}) == (3, 1, {"bad_time", "bad_row"})


def test_rows_that_cannot_be_read_are_refused_with_their_fields(tmp_path: Path) -> None:
    path = write(tmp_path, "Date,Order,SKU,Price,Note\n2024-01-01 10:00,A,p,1.00,x\nsoon,B,p,1.00,y\nshort,C\n")
    proposal = proposed(path)
    good, bad, short = sent(path, proposal.mapping)
    assert isinstance(good, dict)
    assert isinstance(bad, RejectedRow)
    assert isinstance(short, RejectedRow)
    assert bad.value == b"soon,B,p,,,,1.00,,,,,,soon,B,p,1.00,y"
    assert dict(bad.headers)["source-columns"].startswith(b"event_time,order_id,product_id")
    assert short.value == b"short,C"
    assert b"2 fields where the header has 5 columns" in dict(short.headers)["detail"]
    found = review(path, proposal.mapping)
    assert {(each.row, each.count) for each in found.refused.values()} == {(2, 1), (3, 1)}
    assert "event_time 'soon'" in next(iter(found.refused.values())).detail


def test_a_stray_quote_damages_its_own_row(tmp_path: Path) -> None:
    lines = [f"2024-01-{day:02},{day},p,1.00,brand" for day in range(1, 21)]
    lines[3] = '2024-01-04,4,p,1.00,"Lays'
    lines[10] = '2024-01-11,11,p,1.00,Lays"'
    path = write(tmp_path, "\n".join(["Date,Order,SKU,Price,Brand", *lines]))
    outcomes = sent(path, proposed(path).mapping)
    assert [at for at, each in enumerate(outcomes, 1) if isinstance(each, RejectedRow)] == [4]
    assert len(outcomes) == 20


def test_any_range_of_rows_is_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, layouts.LIGHTSPEED)
    mapping = proposed(path).mapping
    with MappedFile(path, mapping) as file:
        whole = [row for block in file.blocks() for row in block.rows]
    for start, end in ((1, 2), (2, 3), (3, None), (2, 9)):
        with MappedFile(path, mapping) as file:
            blocks = list(file.blocks(start, end))
        assert [row for block in blocks for row in block.rows] == whole[start - 1 : None if end is None else end - 1]
        assert blocks[0].first == start


class Terminal(io.StringIO):
    """Answers as a person on a terminal gives them."""

    def isatty(self) -> bool:
        return True


def test_inspect_prints_asks_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, AMBIGUOUS)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert inspect_command.main([str(path)]) == 2
    assert "Decide with --dates 'day-first' for day-first; --dates 'month-first'" in capsys.readouterr().err
    assert not (tmp_path / "orders.mapping.toml").exists()

    monkeypatch.setattr("sys.stdin", Terminal("7\n2\n"))
    assert inspect_command.main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert "2 rows: 2 accepted" in printed
    assert "2024-03-04 00:00:00 UTC  A         p           12.50" in printed
    assert "note: times name no zone: they are read as UTC time" in printed
    kept = tmp_path / "orders.mapping.toml"
    assert read_mapping(kept).dates == "month-first"

    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert inspect_command.main([str(path), "--dates", "day-first"]) == 2
    assert f"{kept} says something else and is kept" in capsys.readouterr().err
    assert read_mapping(kept).dates == "month-first"


def test_convert_writes_the_plain_layout(tmp_path: Path) -> None:
    path, out, mapping = write(tmp_path, layouts.SHOPIFY), tmp_path / "plain.csv", tmp_path / "orders.mapping.toml"
    assert inspect_command.main([str(path)]) == 0
    assert convert_command.main([str(path), str(out), "--mapping", str(mapping)]) == 0
    assert events(out, None) == events(path, read_mapping(mapping))
