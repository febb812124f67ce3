"""The facts of a file, on one small enough to count by hand."""

from pathlib import Path

import pytest

from local.dataset_stats import STATISTICS, main

ROWS = """event_time,order_id,product_id,category_id,category_code,brand,price,user_id
2020-04-03 00:00:00 UTC,o1,p1,c1,toys,acme,2.00,u1
2020-04-03 00:00:00 UTC,o1,p1,c1,toys,acme,2.00,u1
2020-04-01 00:00:00 UTC,o2,p2,,0.01,u1
2020-04-02 00:00:00 UTC,o3,p3,,,,0.00,
1970-01-01 00:33:40 UTC,o4,p1,c1,toys,acme,3.00,u2
"""
EXPECTED = """\
5 rows with 4 orders, 2 customers, 3 products
4 accepted, 1 repaired from six fields (1 of those with a customer), 1 refused
event time from 2020-04-01 00:00:00 to 2020-04-03 00:00:00
without customer 20.0%, category code 40.0%, brand 40.0%, category id 40.0%
1 rows are the same as an earlier one
price 0 in 1 rows, under 0.05 in 2, median 2.00, highest 3.00
products with more than one price: 1
1 category codes, 1 brands
ids of up to 2 digits
known customers: 4 rows, 3 orders, 2 products
products a customer: median 2, mean 1.50; 1 customers have two or more
orders with more than one customer or time: 0
days late against the newest event before, in the files' order: median 0, p90 2, most 2
4 pieces; 0 lines of none, 0 of fewer
refused: 1 bad_time
"""


def test_everything_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "shop.csv"
    file.write_text(ROWS)
    assert main([str(file)]) == 0
    assert capsys.readouterr().out == EXPECTED


def test_what_there_is_nothing_to_count_for_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "empty.csv"
    file.write_text(ROWS.splitlines()[0] + "\n")
    assert main([str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0 rows with 0 orders, 0 customers, 0 products"
    assert len(lines) < len(STATISTICS)


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err
