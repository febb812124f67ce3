"""The command line of the provisioner: options and help."""

import argparse

WITHIN_S = 600.0

DESCRIPTION = """\
Creates what the services need: the topics, and the bucket. What exists stays; where it differs from the settings, a
line says so. Run it before the first start, and again after a change of the settings.

  (no command)  create topics and bucket; with --apply also give existing topics the configuration of the settings
  grow          add partitions to the purchases topic while everything runs
  move          copy the topics from another cluster, each record with its partition, offset and time
  restore       where only the bucket is left: topics whose logs begin where the archive ends
"""
EPILOG = """\
examples:
  python -m services.provision
  python -m services.provision --apply                  after a change of retention
  python -m services.provision grow --partitions 8      more aggregators than partitions would be idle
  TILLSTREAM_KAFKA_BOOTSTRAP=new:9092 python -m services.provision move --from old:9092     see docs/runbooks/move.md
  python -m services.provision restore                  see docs/runbooks/restore.md
  eval "$(python -m local env)"; python -m services.provision grow --partitions 8      on the stack of `make up`

Set by TILLSTREAM_* variables: KAFKA_BOOTSTRAP, KAFKA_PARTITIONS, KAFKA_REPLICATION, KAFKA_RETENTION_HOURS,
KAFKA_RETENTION_BYTES; S3_ENDPOINT, S3_BUCKET and keys; S3_CREATE_BUCKET=false where the bucket is made elsewhere.

Kafka never removes partitions. New partitions get new records only: the records of a customer may then be in two
partitions, which no figure depends on.

Exit status: 0 done; 1 refused, an engine that did not answer in time, or a topic that the services cannot use;
2 wrong usage or settings.
"""


def command_parser() -> argparse.ArgumentParser:
    """The parser. `partitions` is None unless `grow` was asked for, `source` unless `move` was."""
    parser = argparse.ArgumentParser(
        "python -m services.provision",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.set_defaults(partitions=None, source=None, restore=False)
    parser.add_argument("--apply", action="store_true", help="configure existing topics too; what else is set stays")
    parser.add_argument(
        "--within",
        type=_seconds,
        default=WITHIN_S,
        metavar="SECONDS",
        help=f"how long to wait for Kafka, and for S3 (default: {WITHIN_S:g})",
    )
    commands = parser.add_subparsers(metavar="command")
    grow = commands.add_parser("grow", help="add partitions to the purchases topic")
    grow.add_argument("--partitions", type=_partitions, required=True, help="how many it shall have")
    move = commands.add_parser("move", help="copy the topics from another cluster, with their offsets")
    move.add_argument("--from", dest="source", metavar="HOST:PORT", required=True, help="brokers of that cluster")
    move.add_argument(
        "--from-security",
        dest="source_security",
        choices=("plaintext", "msk_iam"),
        help="how they are reached (default: as TILLSTREAM_KAFKA_SECURITY says)",
    )
    restore = commands.add_parser("restore", help="topics that go on where the archive ends")
    restore.set_defaults(restore=True)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to a day")
    return seconds


def _partitions(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of partitions from 1 to 1024")
    return int(text)
