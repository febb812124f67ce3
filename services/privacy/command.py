"""The command line of privacy: options and help."""

import argparse

from services.common.events import MAX_ID_LENGTH
from services.privacy import commands

DESCRIPTION = """\
What is held of a customer, and erasing one.

  export     all that is held of a customer, as JSON Lines on stdout
  erase      remove a customer; their purchases stay and count without a customer
  sweep      remove erased customers from what the bucket holds; run it daily
  audit      who changed, exported or erased what, as JSON Lines
"""
EPILOG = """\
examples:
  python -m services.privacy export 1515915625441993984 > customer.jsonl
  python -m services.privacy erase 1515915625441993984
  python -m services.privacy sweep                          also after a batch job that ran meanwhile
  python -m services.privacy audit

Erasing cannot be undone. A customer stays erased: later purchases of the same id count without a customer. An
interrupted command may be given again. Kafka keeps the records until their retention ends. docs/privacy.md says what is
removed where and when. It is configured by the TILLSTREAM_* variables of the services; for the stack of `make up`:
eval "$(python -m local env)".

Exit status: 0 done, 1 failed (one line says why; give the command again), 2 wrong usage or settings.
"""


def command_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m services.privacy",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="command")
    export = subparsers.add_parser("export", help="all that is held of a customer")
    export.add_argument("user", type=_user_id, help="the customer's id")
    export.set_defaults(command=commands.export)
    erase = subparsers.add_parser("erase", help="remove a customer")
    erase.add_argument("user", type=_user_id, help="the customer's id")
    erase.add_argument("--later", action="store_true", help="leave the bucket to the next sweep")
    erase.set_defaults(command=commands.erase)
    sweep = subparsers.add_parser("sweep", help="remove erased customers from what the bucket holds")
    sweep.set_defaults(command=commands.run_sweep)
    subparsers.add_parser("audit", help="who did what").set_defaults(command=commands.show_audit)
    return parser


def _user_id(text: str) -> str:
    if not 1 <= len(text) <= MAX_ID_LENGTH or not text.isprintable():
        raise argparse.ArgumentTypeError(f"an id has 1 to {MAX_ID_LENGTH} printable characters")
    return text
