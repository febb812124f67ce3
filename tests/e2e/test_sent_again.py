"""Exports again: of another name, backwards, over twice the partitions, rolling, with an order that changed.

Last of the tests that share a shop: from here on its topic has more partitions.
"""

import csv
import json
from pathlib import Path

import pytest

from tests.support.live_shop import LiveShop, assert_archive_exact, assert_exact, figures, summary
from tests.support.polling import wait_until
from tests.support.shop import SEED_COLUMNS, Row, seed_rows, whole_rows

pytestmark = pytest.mark.timeout(600)

NEW_SEED = 77


def read_csv(file: Path) -> tuple[Row, list[Row]]:
    """A file's columns and rows."""
    with file.open(newline="", encoding="utf-8") as text:
        columns, *rows = csv.reader(text)
    return columns, rows


def test_files_of_another_name_backwards_over_twice_the_partitions_change_no_figure(stack: LiveShop) -> None:
    before = figures(summary(stack))
    grown = stack.command("services.provision", "grow", "--partitions", "8")
    assert "4 partitions became 8" in grown.stdout, grown.stderr
    for number, file in enumerate(stack.history):
        columns, rows = read_csv(file)
        stack.send_again(f"export ({number}).csv", reversed(rows), columns)
    assert figures(summary(stack)) == before
    assert_exact(stack)
    assert_archive_exact(stack)


def test_a_rolling_export_adds_only_what_is_new(stack: LiveShop) -> None:
    _columns, rows = read_csv(stack.history[0])
    begin = next(at for at in range(len(rows) // 2, len(rows)) if rows[at][1] != rows[at - 1][1])
    new = seed_rows(NEW_SEED, 200)
    stack.send_again("orders.csv", [*rows[begin:], *new], SEED_COLUMNS)
    stack.describe(new)
    assert_exact(stack)


def test_a_changed_order_is_listed_and_counts_nothing(stack: LiveShop) -> None:
    order = whole_rows(NEW_SEED + 1, 1)
    stack.replay(order)
    before = figures(summary(stack))
    time, order_id, *rest, _price, user_id = order[0]
    stack.send_again("changed.csv", [[time, order_id, *rest, "1.23", user_id], *order[1:]], SEED_COLUMNS)
    after = before | {"dead_letters": before["dead_letters"] + 1}
    wait_until(lambda: figures(summary(stack)) == after, "the changed line is a dead letter, and nothing else moves")
    listed = stack.command("services.deadletters", "orders", "--order", order_id, "--json")
    assert json.loads(listed.stdout)["order_id"] == order_id
    stack.describe([["no purchase"]])
    assert_exact(stack)
