"""A file of another layout, from the commands of the one-machine stack."""

from argparse import Namespace
from pathlib import Path

import pytest

from local.mapping import mapping_for
from local.stack import StackError
from local.verify import _reference
from tests.support import layouts
from tests.support.producer import row, write_file


def test_a_mapping_is_found_kept_and_verified(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, kept = tmp_path / "orders.csv", tmp_path / "orders.mapping.toml"
    path.write_text(layouts.SHOPIFY)
    assert mapping_for(path, None) == kept
    assert "layout shopify" in capfd.readouterr().out
    assert mapping_for(path, None) == kept
    assert f"orders.csv is read as {kept} says" in capfd.readouterr().err
    reference = _reference(Namespace(csv=[path], mapping=kept, time_zone="UTC"))
    assert (reference.totals()["revenue"], reference.totals()["quantity"]) == (2650 + 2000, 6)
    reference.close()


def test_the_seed_layout_and_an_open_question(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert mapping_for(None, None) is None
    assert mapping_for(tmp_path / "a.csv", tmp_path / "b.toml") == tmp_path / "b.toml"
    assert mapping_for(write_file(tmp_path / "kz.csv", [row(1)]), None) is None
    path = tmp_path / "orders.csv"
    path.write_text("Date,Order,SKU,Price\n03/04/2024,A,p,1.00\n")
    with pytest.raises(StackError, match="nothing was sent"):
        mapping_for(path, None)
    assert "Decide with --dates" in capfd.readouterr().err
