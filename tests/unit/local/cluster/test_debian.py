"""Where the cluster's Debian packages come from: the mirror that the machine uses."""

import pytest

from local.cluster.fetch.debian import unstable_source
from local.cluster.fetch.errors import FetchError

PARAGRAPHS = """\
Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
# a comment: with a colon
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg
"""
UNSTABLE = {"Types": "deb", "URIs": "https://mirror.example/debian", "Suites": "sid", "Components": "main"}


def _fields(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def test_a_source_of_paragraphs() -> None:
    assert _fields(unstable_source([PARAGRAPHS])) == {**UNSTABLE, "Signed-By": "/usr/share/keyrings/archive.gpg"}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("deb https://mirror.example/debian bookworm main", {}),
        ("deb [signed-by=/k.gpg] https://mirror.example/debian/ bookworm main", {"Signed-By": "/k.gpg"}),
    ],
)
def test_a_source_of_lines(line: str, key: dict[str, str]) -> None:
    found = _fields(unstable_source(["# deb https://other.example/debian sid main\n" + line]))
    assert {**found, "URIs": found["URIs"].rstrip("/")} == {**UNSTABLE, **key}


def test_no_debian_mirror_is_said() -> None:
    with pytest.raises(FetchError, match="no Debian mirror"):
        unstable_source(["deb https://mirror.example/ubuntu noble main"])
