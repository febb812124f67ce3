"""What the security documents name exists: a row without its test shows nothing."""

import re
from functools import cache

import pytest

from bench.attack.floods import FLOODS
from bench.attack.http_attempts import HTTP_ATTEMPTS
from bench.attack.inner_attempts import INNER_ATTEMPTS
from bench.attack.key_attempts import KEY_ATTEMPTS
from local.layout import REPOSITORY

DOCS = REPOSITORY / "docs"
ASVS = (DOCS / "security-asvs.md").read_text()
STATES = {"met", "not applicable", "not met"}
NAMED = re.compile(r"`([^`\s]+)`")
COMMAND = re.compile(r"`python -m bench\.attack --only (\w+)`")
FOLDERS = ("services/", "tests/", "local/", "web/", "infra/", "recsys/", "spark/", "bench/")


def rows(text: str) -> list[list[str]]:
    """The cells of the tables' rows."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [cells for cells in found if cells[0] != "item" and not cells[0].startswith("---")]


@cache
def known_tests() -> set[str]:
    """The names of all test functions, and of the files that have them."""
    files = [*(REPOSITORY / "tests").rglob("test_*.py")]
    functions = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())}
    return functions | {path.name for path in files}


def test_every_row_has_a_state_and_a_met_one_its_place() -> None:
    table = rows(ASVS)
    assert len(table) > 80
    assert [cells for cells in table if len(cells) != 4 or cells[2] not in STATES] == []
    shown = [cells for cells in table if cells[2] == "met" and not re.search(r"`[^`]+`|\]\(", cells[3])]
    assert shown == [], "met, but by what?"


@pytest.mark.parametrize("document", ["security-asvs.md", "security.md", "privacy.md", "tls.md"])
def test_what_a_document_names_exists(document: str) -> None:
    text = (DOCS / document).read_text()
    named = {name.rstrip(":;,") for name in NAMED.findall(text)}
    assert sorted(name for name in named if re.fullmatch(r"test_\w+(\.py)?", name) and name not in known_tests()) == []
    paths = [name for name in named if name.startswith(FOLDERS) and "*" not in name]
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


def test_the_commands_of_the_table_choose_an_attack() -> None:
    attacks = [*HTTP_ATTEMPTS, *KEY_ATTEMPTS, *INNER_ATTEMPTS, *FLOODS]
    words = COMMAND.findall(ASVS)
    assert words
    assert [word for word in words if not any(word in attack for attack in attacks)] == []
