"""The decision records have a status and an index; links in the documentation lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")})
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_the_index_lists_the_record_with_title_and_status(record: Path) -> None:
    title, _, status = record.read_text().splitlines()[:3]
    named = re.fullmatch(r"# (\d+)\. (.+)", title)
    assert named, f"the first line is no title: {title}"
    assert int(record.name[:4]) == int(named[1])
    stated = re.fullmatch(r"Status: ((?:accepted|superseded)\S*(?: \S+)*?)(?: by (\[.+))?", status)
    assert stated, f"the third line is no status: {status}"
    by = f" {stated[2]}" if stated[2] else ""
    row = f"| {named[1]} | [{named[2]}]({record.name}) | {stated[1]} |{by} |"
    assert row in (ROOT / "docs/adr/README.md").read_text().splitlines()


def test_the_index_lists_nothing_else() -> None:
    rows = re.findall(r"^\| \d+ \| \[.*?\]\((.+?)\)", (ROOT / "docs/adr/README.md").read_text(), re.MULTILINE)
    assert rows == [record.name for record in RECORDS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    links = [link for link in _LINK.findall(_CODE.sub("", page.read_text())) if "://" not in link]
    assert [link for link in links if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in _anchors(target.read_text()))


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings: lower case, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    shown = (re.sub(r"\[(.+?)\]\(.+?\)", r"\1", heading).strip().lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in shown}
