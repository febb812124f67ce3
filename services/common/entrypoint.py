"""The start of a program: settings, logging, and one clear line on stderr where it cannot go on."""

import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError

from services.common import tracing
from services.common.settings import ServiceSettings, Settings, explain
from services.common.telemetry import PortInUse, configure_logging

AnySettings = TypeVar("AnySettings", bound=Settings)
AnyServiceSettings = TypeVar("AnyServiceSettings", bound=ServiceSettings)

ExitStatuses = Mapping[type[Exception], int]
"""Expected errors → the exit status of a program that ends with one; the first class that fits decides."""

WRONG_SETTINGS = 2


def run_service(
    service: str,
    settings: Callable[[], AnyServiceSettings],
    run: Callable[[AnyServiceSettings], int],
    statuses: ExitStatuses | None = None,
) -> int:
    """As `run_command`, with logging and traces set up before `run`. A port in use is a mistake in the settings too."""

    def configured(given: AnyServiceSettings) -> int:
        configure_logging(service, given.log_level)
        with tracing.exported(service, given):
            return run(given)

    return run_command(service, settings, configured, {PortInUse: WRONG_SETTINGS, **(statuses or {})})


def run_command(
    program: str,
    settings: Callable[[], AnySettings],
    run: Callable[[AnySettings], int],
    statuses: ExitStatuses | None = None,
) -> int:
    """Read the settings, run the program with them, return its exit status.

    Wrong settings give 2. They, and errors of `statuses`, are reported as one line; any other error is raised.
    """
    try:
        given = settings()
    except ValidationError as error:
        return refuse(program, WRONG_SETTINGS, explain(error))
    expected = statuses or {}
    try:
        return run(given)
    except tuple(expected) as error:
        status = next(status for kind, status in expected.items() if isinstance(error, kind))
        return refuse(program, status, str(error) or repr(error))


def refuse(program: str, status: int, message: str) -> int:
    """Print `<program>: <message>` to stderr; returns the status."""
    print(f"{program}: {message}", file=sys.stderr, flush=True)
    return status
