"""A run of the job on some platform, and what each platform can do with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

Fate = Literal["succeeded", "failed", "cancelled"]


class SubmitError(Exception):
    """The job cannot be started, or its run not be found; the message says what to do."""


class PlatformAway(Exception):
    """The platform does not answer now; the run is not concerned."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """`word`: the platform's own. `fate`: None while the run is not over. `detail`: progress, or why it failed."""

    word: str
    fate: Fate | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """A run. `found`: it had been started before, with arguments of its own."""

    run: str
    found: bool = False


class Platform(Protocol):
    """Where the job can run."""

    def start(self, name: str) -> "Started":
        """Start a run, or find the one that has this name already. Raises SubmitError."""

    def status(self, run: str) -> RunStatus:
        """How the run is doing. Raises SubmitError where there is no such run, PlatformAway and botocore's errors."""

    def cancel(self, run: str) -> None:
        """End the run."""

    def log(self, run: str) -> str:
        """Where its log is, for a person."""


def run_named(pages: Iterable[dict[str, Any]], items: str, name: str) -> Started | None:
    """The newest run with this name in the pages of a listing; AWS lists the newest first."""
    for page in pages:
        for run in page[items]:
            if run.get("name", run.get("Name")) == name:
                return Started(str(run.get("id", run.get("Id"))), found=True)
    return None


def status_of(word: str, fates: dict[str, Fate], detail: str | None) -> RunStatus:
    """The status for a platform's word."""
    return RunStatus(word, fates.get(word), detail or "")


def refused(error: ClientError, what: str) -> SubmitError:
    """An error of AWS in one line."""
    answer: Any = error.response.get("Error", {})
    return SubmitError(f"{what}: {answer.get('Code')}: {answer.get('Message')}")
