"""`python -m local`: Tillstream on one machine."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from aiokafka.errors import KafkaError
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from redis.exceptions import RedisError

from local import commands, parent_death
from local.demo import RATE, demo
from local.engines import NotReady
from local.http import NoAnswer
from local.lockfile import AlreadyRunning
from local.prerequisites import MissingPrerequisite
from local.process import ProcessDied
from local.signals import Stopped, stoppable
from local.stack import StackError
from local.status import status
from services.common.settings import explain
from services.common.telemetry import PortInUse

DESCRIPTION = """\
Tillstream on one machine: real Kafka, Valkey and S3 without Docker or root, the services, and Spark.

  demo       run everything from a fresh state in the foreground, until Ctrl-C; --keep continues the last demo
  up         start the stack detached; it keeps its state in .tillstream/; a second call starts what is missing
  down       stop the stack of `up`; the data stays
  status     process, address, health and lag of each engine and service
  replay     send one more purchase file to the running stack
  train      run the batch job now: figures, evaluation, a new model
  reconcile  compare the live figures with the archive, to the cent
  env        print the engines' addresses for a shell: eval "$(python -m local env)"
"""
EPILOG = """\
examples:
  python -m local demo                           months of real purchases of a grocery chain
  python -m local demo --csv kz.csv.gz           the electronics shop's file from Kaggle
  python -m local up --csv kz.csv.gz             load the file, train, keep running
  python -m local demo --csv orders_export.csv   a file of your own: its layout is found out (docs/your-data.md)
  python -m local replay late.csv --rate x3600   one hour of event time per second

Every port is a setting: TILLSTREAM_GATEWAY_PORT=8081 python -m local up. To use an engine of your own, set its
address: TILLSTREAM_KAFKA_BOOTSTRAP, TILLSTREAM_REDIS_URL, TILLSTREAM_S3_ENDPOINT (with TILLSTREAM_S3_ACCESS_KEY and
TILLSTREAM_S3_SECRET_KEY). Logs are in .tillstream/logs/, those of the demo in .tillstream/demo/logs/.

Exit status: 0 success; 1 failure (`status`: something is not ready); 2 wrong usage or settings, or a port in use;
130 interrupted.
"""
_EXPECTED = (AlreadyRunning, MissingPrerequisite, NoAnswer, NotReady, ProcessDied, StackError)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    os.umask(0o077)  # state and logs have customers' purchases and the engines' keys in them
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the commands report what it retries in one line
    try:
        with stoppable():
            return _run(options)
    except ValidationError as error:
        _complain(explain(error))
        return 2
    except PortInUse as error:
        _complain(str(error))
        return 2
    except _EXPECTED as error:
        _complain(str(error))
        return 1
    except (KafkaError, RedisError, BotoCoreError, ClientError) as error:
        _complain(f"an engine failed: {error}")
        return 1
    except Stopped:
        return 130


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "demo":
            if options.stop_with_parent:
                parent_death.die_with_parent(os.getppid(), signal.SIGTERM)
            demo(options.csv, options.rate, options.mapping, options.keep)
        case "up":
            commands.up(options.csv, options.rate, options.mapping)
        case "down":
            commands.down()
        case "replay":
            commands.replay(options.csv, options.rate, options.source, options.mapping)
        case "train":
            commands.train_now()
        case "reconcile":
            commands.reconcile()
        case "env":
            commands.print_environment()
        case "status":
            return 0 if status() else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m local", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter
    )
    parsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    csv = "a file of purchases: CSV, .gz, .zip, .xlsx, Parquet or JSON lines, in any layout"
    rate = "max, events per second such as 50, or a speed-up of event time such as x3600"

    demo_parser = parsers.add_parser("demo", help="run everything until Ctrl-C")
    demo_parser.add_argument("--csv", type=_readable, metavar="FILE", help=f"{csv} (default: the grocery set)")
    demo_parser.add_argument("--rate", default=RATE, help=f"rate of the last tenth: {rate} (default: {RATE})")
    _add_mapping(demo_parser)
    demo_parser.add_argument(
        "--keep", action="store_true", help="continue the last demo of the file: no history to send, no model to train"
    )
    demo_parser.add_argument("--stop-with-parent", action="store_true", help="stop when the calling process ends")

    up_parser = parsers.add_parser("up", help="start the stack detached")
    up_parser.add_argument(
        "--csv",
        type=_readable,
        metavar="FILE",
        help=f"{csv}, to send\n(default: the grocery set if the stack has no data yet)",
    )
    up_parser.add_argument(
        "--rate", help=f"stream in the background: {rate}\n(default: load, archive, train, then return)"
    )

    _add_mapping(up_parser)

    replay_parser = parsers.add_parser("replay", help="send one more file")
    replay_parser.add_argument("csv", type=_readable, metavar="FILE", help=csv)
    replay_parser.add_argument("--rate", default="max", help=f"{rate} (default: max)")
    replay_parser.add_argument(
        "--source", metavar="NAME", help="source in checkpoint and dead letters (default: the file's name without .gz)"
    )

    _add_mapping(replay_parser)

    parsers.add_parser("down", help="stop; the data stays")
    parsers.add_parser("status", help="processes, health and lag")
    parsers.add_parser("train", help="run the batch job now")
    parsers.add_parser("reconcile", help="compare the live figures with the archive")
    parsers.add_parser("env", help="print the engines' addresses for a shell")
    return parser


def _add_mapping(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mapping",
        type=_readable,
        metavar="FILE",
        help="how the file is read (default: NAME.mapping.toml next to it, or found out)",
    )


def _readable(text: str) -> Path:
    path = Path(text)
    try:
        path.open("rb").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read: {error.strerror}") from None
    return path


def _complain(text: str) -> None:
    print(f"error: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
