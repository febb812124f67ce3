"""Every library that an image ships has a licence that is allowed, and THIRD_PARTY.md names it."""

from local.images.packages import page_packages
from local.layout import REPOSITORY
from local.notices import ALLOWED, NOTICES, notices, parts, python_licences


def test_the_file_names_what_the_locks_have() -> None:
    assert NOTICES.read_text() == notices(), "run `make notices`"


def test_every_licence_is_allowed() -> None:
    page = {package.name: package.licence for package in page_packages(REPOSITORY / "web" / "package-lock.json")}
    licences = python_licences() | page
    assert {name: licence for name, licence in licences.items() if not parts(licence) <= ALLOWED} == {}


def test_an_expression_names_its_licences() -> None:
    assert parts("(MIT OR Apache-2.0) AND Zlib") == {"MIT", "Apache-2.0", "Zlib"}
