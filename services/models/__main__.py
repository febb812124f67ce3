"""Command line of the model registry: `python -m services.models list`, show, compare, activate, rollback."""

import argparse
import sys
from contextlib import closing

from botocore.exceptions import BotoCoreError, ClientError

from services.common.conditional_write import Contended
from services.common.entrypoint import refuse, run_command
from services.common.model_pointer import RegistryError
from services.common.object_store import ObjectStore
from services.models.command import command_parser
from services.models.settings import RegistrySettings

_PREFIX = "error"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = command_parser().parse_args(arguments)
    statuses = {RegistryError: 1, Contended: 1}
    return run_command(_PREFIX, RegistrySettings, lambda settings: _run(options, settings), statuses)


def _run(options: argparse.Namespace, settings: RegistrySettings) -> int:
    with closing(ObjectStore(settings)) as store:
        try:
            print("\n".join(options.command(store, options)))
        except (BotoCoreError, ClientError) as error:
            return refuse(_PREFIX, 1, f"the bucket {store.bucket!r} does not answer: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
