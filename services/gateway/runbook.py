"""The runbook of the alerts, by section: what an alert means and what to do."""

import re
from functools import cached_property
from pathlib import Path

# How an alert's annotation names its section: this and the section in lower case.
RUNBOOKS = "docs/runbooks/alerts.md#"
_HEADING = re.compile(r"^## (\w+)$", re.MULTILINE)


def section_of(annotation: str) -> str | None:
    """The section that an annotation names; None where it names none."""
    match = re.fullmatch(r"[^#]*#([a-z]{1,80})", annotation)
    return match[1] if match else None


class Runbook:
    """One file, read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def section(self, name: str) -> str | None:
        """The section in Markdown, whatever the case of its name; None where there is none."""
        return self._sections.get(name.lower())

    @cached_property
    def _sections(self) -> dict[str, str]:
        try:
            text = self._path.read_text()
        except OSError:
            return {}
        names = [*_HEADING.finditer(text)]
        ends = [match.start() for match in names[1:]] + [len(text)]
        return {match[1].lower(): text[match.start() : end] for match, end in zip(names, ends, strict=True)}
