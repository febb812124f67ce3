"""What the Makefile promises."""

import re
from pathlib import Path

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()


def test_every_command_has_a_rule() -> None:
    """A name that only stands in .PHONY is made at once, and nothing happens."""
    (promised,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    rules = set(re.findall(r"^([a-z0-9-]+):(?!=)", MAKEFILE, re.MULTILINE))
    assert set(promised.split()) - rules == set()
