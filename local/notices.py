"""`python -m local.notices`: write THIRD_PARTY.md, the licences of the libraries that images ship.

Python's are those of the images' locks, as installed here; the page's are those that its bundle is made from. Debian's
packages and the jars of Kafka, Spark and its S3 connector are in the bills of materials of `make images`, and carry
their licence texts with them.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path

from local.images.packages import page_packages
from local.layout import REPOSITORY

NOTICES = REPOSITORY / "THIRD_PARTY.md"
LOCKS = ("producer", "archiver", "aggregator", "recommender", "gateway", "spark")
ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT-0", "MPL-2.0", "OFL-1.1", "PSF-2.0"}
    | {"Zlib", "LicenseRef-Repoze"}
)
"""Licences that ask for no more than their notice of who ships the library unchanged. MPL-2.0 is by file."""

_SPDX: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD-derived (Repoze)": "LicenseRef-Repoze",  # BSD-3-Clause with a fourth clause about changed files
    "Dual License": "Apache-2.0 OR BSD-3-Clause",  # python-dateutil
    "MIT License": "MIT",
}
"""What older metadata says → an SPDX expression."""

_PIN = re.compile(r"([a-z0-9][a-z0-9._-]*)(?:\[.*\])?==")
_HEAD = """\
# Third parties

The libraries that Tillstream's images ship, and their licences as SPDX expressions. `make notices` writes this file; a
test compares it with the locks and the licences with a list of those that are allowed (`local/notices.py`). Debian's
packages and Java's jars are in the bills of materials that `make images` makes.

"""


def notices() -> str:
    """The whole file."""
    page = {package.name: package.licence for package in page_packages(REPOSITORY / "web" / "package-lock.json")}
    return _HEAD + "\n".join([*_table("Python", python_licences()), "", *_table("The page", page)]) + "\n"


def python_licences() -> dict[str, str]:
    """Library of an image's lock → its licence."""
    names = {name for lock in LOCKS for name in _pinned(REPOSITORY / "requirements" / f"{lock}.lock")}
    return {name: _licence(metadata(name)) for name in sorted(names)}


def parts(expression: str) -> set[str]:
    """The licences that an expression names."""
    return set(re.split(r" (?:AND|OR|WITH) ", expression.replace("(", "").replace(")", "")))


def _pinned(lock: Path) -> Iterator[str]:
    return (found[1] for line in lock.read_text().splitlines() if (found := _PIN.match(line)))


def _licence(found: PackageMetadata) -> str:
    said = next((found[field] for field in ("License-Expression", "License") if field in found), "")
    if not said or len(said.splitlines()) > 1:  # some have the whole text there
        named = [line for line in found.get_all("Classifier") or () if line.startswith("License ::")]
        said = " AND ".join(line.rpartition(" :: ")[2] for line in named)
    return _SPDX.get(said, said)


def _table(title: str, licences: Mapping[str, str]) -> list[str]:
    rows = (f"| {name} | {licence} |" for name, licence in sorted(licences.items()))
    return [f"## {title}", "", "| library | licence |", "|---|---|", *rows]


if __name__ == "__main__":
    NOTICES.write_text(notices())
