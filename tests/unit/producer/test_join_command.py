"""Orders and their lines in two files: joined, they are the same events as in one file, and nothing is lost."""

import csv
import io
import json
import random
from pathlib import Path

import pytest

from services.producer.join_command import Files, join_files, main
from services.producer.layouts.order_join import find_key, joined_columns
from services.producer.rows import RejectedRow
from services.producer.source import BadFile
from tests.support.layouts import events, proposed, sent

ORDERS = """\
id;created_at;customer_id;status;amount
1;13.03.2026 10:14;7;paid;37,00
2;14.03.2026 09:00;;paid;-8,00
3;14.03.2026 09:05;9;paid;0,10
"""
LINES = """\
id,order_id,sku,title,quantity,price,status
11,1,TT-1,"Tea towel, large",2,12.50,sent
12,2,MUG,Mug,-1,8.00,back
13,1,BOWL,Bowl,1,12.00,sent
14,3,TT-1,"Tea towel, large",1,0.10,sent
"""


def files(folder: Path, orders: str = ORDERS, lines: str = LINES) -> Files:
    (folder / "orders.csv").write_text(orders)
    (folder / "lines.csv").write_text(lines)
    return Files([folder / "orders.csv"], [folder / "lines.csv"], folder / "out.csv", folder / "waiting.csv")


def revenue_cents(path: Path) -> int:
    """What the events of a file add up to."""
    found = events(path, proposed(path).mapping)
    return sum(round(float(event["price"]) * 100) * int(event.get("quantity", 1)) for event in found)


def test_the_joined_file_is_read_like_any_other(tmp_path: Path) -> None:
    pair = files(tmp_path)
    counts = join_files(pair)
    assert (counts.joined, counts.waiting, counts.unreadable) == (4, 0, 0)
    proposal = proposed(pair.out)
    assert proposal.mapping.columns["event_time"] == ["created_at"]
    assert "amount" not in proposal.mapping.columns  # the order's, renamed
    found = events(pair.out, proposal.mapping)
    assert [(each["order_id"], each.get("user_id"), each["product_id"], each["price"]) for each in found] == [
        ("1", "7", "TT-1", "12.50"),
        ("2", None, "MUG", "8.00"),
        ("1", "7", "BOWL", "12.00"),
        ("3", "9", "TT-1", "0.10"),
    ]
    assert found[0]["event_time"] == "2026-03-13 10:14:00 UTC"
    assert found[0]["product_name"] == "Tea towel, large"
    assert revenue_cents(pair.out) == 3700 - 800 + 10
    assert not pair.waiting.exists()


def test_what_waits_counts_to_the_cent_once_its_order_has_come(tmp_path: Path) -> None:
    chance = random.Random(19)
    orders = [f"{number};13.03.2026 10:{number % 60:02};{number % 5};paid;0" for number in range(300)]
    lines = [
        f"{n},{chance.randrange(300)},P{n % 9},Name,{chance.randint(1, 4)},{n % 50}.{n % 100:02},x" for n in range(900)
    ]
    head_orders, head_lines = ORDERS.splitlines()[0], LINES.splitlines()[0]
    chance.shuffle(lines)
    first = files(tmp_path, "\n".join([head_orders, *orders[::2]]), "\n".join([head_lines, *lines]))
    assert join_files(first).waiting > 0
    (tmp_path / "later.csv").write_text("\n".join([head_orders, *orders[1::2]]))
    second = Files([tmp_path / "later.csv"], [first.waiting], tmp_path / "out2.csv", tmp_path / "waiting2.csv")
    assert join_files(second).waiting == 0
    rows = [row.split(",") for row in lines]
    expected = sum(int(row[4]) * round(float(row[5]) * 100) for row in rows)
    assert revenue_cents(first.out) + revenue_cents(second.out) == expected


def test_a_line_without_a_readable_order_is_kept(tmp_path: Path) -> None:
    lines = LINES + "15,99,CUP,Cup,1,3.00,sent\n16,,CUP,Cup,1,3.00,sent\n17,1,CUP\n"
    orders = ORDERS + "2;15.03.2026 09:00;8;paid;-8,00\n;15.03.2026 09:00;8;paid;1\n"
    pair = files(tmp_path, orders, lines)
    counts = join_files(pair)
    assert (counts.joined, counts.waiting, counts.unreadable, counts.example) == (3, 3, 1, "2")
    waiting = list(csv.reader(io.StringIO(pair.waiting.read_text())))
    assert [row[:3] for row in waiting] == [
        ["id", "order_id", "sku"],
        ["12", "2", "MUG"],
        ["15", "99", "CUP"],
        ["16", "", "CUP"],
    ]
    outcomes = sent(pair.out, proposed(pair.out).mapping)
    refused = [each for each in outcomes if isinstance(each, RejectedRow)]
    assert len(outcomes) == 4
    assert [each.reason.value for each in refused] == ["bad_row"]
    assert b"17,1,CUP" in refused[0].value


def test_the_last_file_of_orders_holds(tmp_path: Path) -> None:
    pair = files(tmp_path)
    (tmp_path / "new.csv").write_text("customer_id;id;created_at;status;amount\n8;1;13.03.2026 10:14;paid;37,00\n")
    join_files(Files([*pair.orders, tmp_path / "new.csv"], pair.lines, pair.out, pair.waiting))
    assert [each.get("user_id") for each in events(pair.out, proposed(pair.out).mapping)] == ["8", None, "8", "9"]


@pytest.mark.parametrize(
    ("row", "message"),
    [("8;1;14.03.2026 10:14;paid\n", "lines of order 1 wait"), ("9;;;paid;1\n", "another row"), ("8\n", "another row")],
)
def test_a_newer_order_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, message: str
) -> None:
    """The last file has another width of row; where its id is there, the older version does not hold."""
    pair = files(tmp_path)
    (tmp_path / "new.csv").write_text("customer_id;id;created_at;status;amount\n9;3;14.03.2026 09:05;paid;0,10\n" + row)
    counts = join_files(Files([*pair.orders, tmp_path / "new.csv"], pair.lines, pair.out, pair.waiting))
    assert (counts.joined, counts.waiting) == ((2, 2) if "order 1" in message else (4, 0))
    assert message in capsys.readouterr().err


def test_lines_that_wait_are_not_written_over(tmp_path: Path) -> None:
    pair = files(tmp_path, lines=LINES + "15,99,CUP,Cup,1,3.00,sent\n")
    first = Files(pair.orders, pair.lines, pair.out, tmp_path / "out.waiting.csv")
    assert join_files(first).waiting == 1
    kept = first.waiting.read_text()
    with pytest.raises(BadFile, match="would be lost: name it as one of the --lines"):
        join_files(first)
    assert first.waiting.read_text() == kept
    (tmp_path / "later.csv").write_text(ORDERS.splitlines()[0] + "\n99;15.03.2026 09:00;8;paid;3\n")
    assert join_files(Files([tmp_path / "later.csv"], [first.waiting], first.out, first.waiting)).joined == 1
    assert "CUP" in first.out.read_text()
    assert not first.waiting.exists()


def test_no_file_is_two_things(tmp_path: Path) -> None:
    pair = files(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "link.csv").symlink_to(pair.lines[0])
    for out, waiting in [
        (pair.out, pair.out),
        (pair.out, tmp_path / "a" / ".." / "out.csv"),
        (tmp_path / "out.csv.part", pair.out),
        (tmp_path / "a" / ".." / "lines.csv", pair.waiting),
        (tmp_path / "link.csv", pair.waiting),
        (pair.out, tmp_path / "link.csv"),
        (pair.out, pair.orders[0]),
    ]:
        with pytest.raises(BadFile, match="--waiting"):
            join_files(Files(pair.orders, pair.lines, out, waiting))
    assert (pair.orders[0].read_text(), pair.lines[0].read_text()) == (ORDERS, LINES)


def test_files_in_other_containers(tmp_path: Path) -> None:
    pair = files(tmp_path)
    rows = csv.DictReader(io.StringIO(LINES))
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    join_files(pair)
    of_csv = pair.out.read_text()
    join_files(Files(pair.orders, [tmp_path / "lines.jsonl"], pair.out, pair.waiting))
    assert pair.out.read_text() == of_csv


@pytest.mark.parametrize(
    ("orders", "lines", "key"),
    [
        (("id", "order_number"), ("id", "order_id"), ("id", "order_id")),
        (("id", "Order ID"), ("order_id", "sku"), ("Order ID", "order_id")),
        (("invoice_no", "date"), ("invoice", "sku"), ("invoice_no", "invoice")),
    ],
)
def test_the_key_is_found(orders: tuple[str, ...], lines: tuple[str, ...], key: tuple[str, str]) -> None:
    assert find_key(orders, lines, "") == key


def test_a_key_that_is_not_certain_is_asked_for() -> None:
    with pytest.raises(BadFile, match="--on ORDERS=LINES; orders have invoice_no, receipt"):
        find_key(("invoice_no", "receipt"), ("order_id",), "")
    with pytest.raises(BadFile, match="no key 'a=b'"):
        find_key(("id",), ("order_id",), "a=b")
    assert find_key(("a",), ("b",), "a=b") == ("a", "b")


def test_columns_mean_one_thing() -> None:
    key = find_key(orders := ("id", "date", "total", "price", "note"), lines := ("order_id", "date", "sku", "note"), "")
    assert joined_columns(orders, lines, key) == [
        *("date", "total", "order_price", "order_note"),
        *("order_id", "line_date", "sku", "note"),
    ]


def test_each_column_has_a_name_of_its_own() -> None:
    orders, lines = (
        ("id", "date", "price", "order_price"),
        ("order_id", "sku", "price", "created_at", "line_created_at"),
    )
    assert joined_columns(orders, lines, find_key(orders, lines, "")) == [
        *("date", "order_price_2", "order_price"),
        *("order_id", "sku", "price", "line_created_at_2", "line_created_at"),
    ]


def test_the_command_says_what_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = files(tmp_path, lines=LINES + "15,99,CUP,Cup,1,3.00,sent\n")
    arguments = ["--orders", str(pair.orders[0]), "--lines", str(pair.lines[0]), "--out", str(pair.out)]
    assert main(arguments) == 3
    said = capsys.readouterr().out
    assert "4 lines joined; 0 orders have no line" in said
    assert "out.waiting.csv: 1 lines wait for their orders, such as 99" in said
    assert main([*arguments, "--waiting", str(pair.lines[0])]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert pair.lines[0].read_text().startswith(LINES)
