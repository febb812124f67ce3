"""`python -m services.gateway.access NAME ROLE`: make an API key."""

import argparse
import sys

import msgspec

from services.gateway.access.keys import new_key
from services.gateway.access.roles import Role


def main(arguments: list[str] | None = None) -> int:
    """Print the key to stdout once, and its entry for the file of keys to stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m services.gateway.access",
        description="Make an API key. Give the key (stdout) to its holder; add the entry (stderr), which holds only "
        "the key's hash, to the list `keys` in the file that TILLSTREAM_API_KEYS_FILE names.",
    )
    parser.add_argument("name", help="who uses it, for example webshop-2026")
    parser.add_argument("role", type=Role, choices=list(Role), metavar="role", help=", ".join(Role))
    given = parser.parse_args(arguments)
    try:
        key, entry = new_key(given.name, given.role)
    except ValueError as error:
        parser.error(str(error))
    print(key)
    print(msgspec.json.encode(entry).decode(), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
