"""`python -m spark.submit`: start the batch job on a platform, and follow it to its end."""

import argparse
import re
import sys
from datetime import UTC, datetime

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from services.common.job_report import LATEST, JobReport
from services.common.object_store import ObjectStore
from services.common.settings import explain
from services.common.storage_errors import NoSuchObject
from spark.submit.follow import follow
from spark.submit.platforms import PLATFORMS, platform, upload_files
from spark.submit.runs import Platform, RunStatus, SubmitError
from spark.submit.settings import SubmitSettings

DESCRIPTION = """\
Start the batch job on a platform, and follow it to its end.

  local           this machine: python -m spark
  k8s             a Job made from the CronJob `batch` of the cluster that kubectl's current context names
  emr-serverless  TILLSTREAM_EMR_APPLICATION_ID, _EMR_ROLE_ARN
  emr-eks         TILLSTREAM_EMR_VIRTUAL_CLUSTER_ID, _EMR_ROLE_ARN, _EMR_RELEASE
  emr-ec2         TILLSTREAM_EMR_CLUSTER_ID

For EMR the code is packed and uploaded to artifacts/VERSION/ of TILLSTREAM_S3_BUCKET; docs/aws.md says how to make the
environment with interpreter and packages.
"""
EPILOG = """\
examples:
  python -m spark.submit --to local -- --until report            figures only
  python -m spark.submit --to k8s --name nightly-2026-11-29      once, however often it is repeated
  python -m spark.submit --to emr-serverless --detach            start it, and print its id
  python -m spark.submit --to emr-serverless --follow 00f1abcd
  python -m spark.submit --to emr-eks --env TILLSTREAM_ALS_RANK=32

A run that fails or is cancelled changes no model and no figures: it writes below a version of its own, and the pointers
move at its end.

Exit status: 0 the run succeeded (with --detach: it was started); 1 it failed, or could not be started or followed;
2 wrong usage or settings; 4 it was cancelled; 130 interrupted, and the run goes on (not with --to local).
"""
_STATUS = {"succeeded": 0, "failed": 1, "cancelled": 4}
_VARIABLE = re.compile(r"(TILLSTREAM_[A-Z0-9_]+)=([^\s'\"\\]*)")
_SECRET = re.compile("SECRET|PASSWORD|TOKEN|_KEY")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")
_POLL_S = {"local": 0.5, "k8s": 2.0}
_POLL_EMR_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = SubmitSettings()
        return _run(options, settings)
    except ValidationError as error:
        _say(explain(error))
        return 2
    except (SubmitError, BotoCoreError, ClientError) as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace, settings: SubmitSettings) -> int:
    if options.to == "local" and options.detach:
        raise SubmitError("--detach is for platforms that keep a run; here: python -m spark run &")
    chosen = platform(options.to, settings, ("run", *options.arguments), dict(options.env))
    if options.cancel:
        chosen.cancel(options.cancel)
        _say(f"{options.cancel} is being cancelled")
        return 0
    run = options.follow or _start(options, settings, chosen)
    if options.detach:
        print(run)
        return 0
    return _STATUS[str(_followed(options.to, chosen, run, settings).fate)]


def _start(options: argparse.Namespace, settings: SubmitSettings, chosen: Platform) -> str:
    upload_files(options.to, settings, _say)
    started = chosen.start(options.name)
    what = "found, with the arguments that it was started with" if started.found else "started"
    _say(f"run {started.run} ({options.name}) {what}; log: {chosen.log(started.run)}")
    return started.run


def _followed(to: str, chosen: Platform, run: str, settings: SubmitSettings) -> RunStatus:
    try:
        status = follow(chosen, run, _say, _POLL_S.get(to, _POLL_EMR_S))
    except KeyboardInterrupt:
        if to != "local":
            _say(f"the run goes on: python -m spark.submit --to {to} --follow {run}, or --cancel {run}")
        raise
    if status.fate == "succeeded" and to.startswith("emr-"):
        _say(_newest_report(settings))
    elif status.fate == "failed":
        _say(f"the model and the figures of the run before stay; log: {chosen.log(run)}")
    return status


def _newest_report(settings: SubmitSettings) -> str:
    """What the job reported of its newest run."""
    store = ObjectStore(settings)
    try:
        report = msgspec.json.decode(store.get(LATEST), type=JobReport)
    except (NoSuchObject, BotoCoreError, ClientError, msgspec.DecodeError) as error:
        return f"the job's report cannot be read from here: {error}"
    finally:
        store.close()
    steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in report.steps.items())
    return f"newest report, {report.version}: {report.outcome}. {report.reason} {steps}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m spark.submit", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--to", choices=PLATFORMS, required=True, help="where to run")
    parser.add_argument("--name", type=_name, default=f"batch-{datetime.now(UTC):%Y%m%d-%H%M%S}", help="of the run")
    parser.add_argument("--env", type=_variable, action="append", default=[], help="NAME=VALUE for the job, on EMR")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--detach", action="store_true", help="do not follow it; print its id")
    instead.add_argument("--follow", metavar="RUN", help="follow a run that was started before")
    instead.add_argument("--cancel", metavar="RUN", help="cancel it")
    parser.add_argument("arguments", nargs="*", help="after --: arguments of `python -m spark run`")
    return parser


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("small letters, digits and hyphens, at most 52 of them")
    return text


def _variable(text: str) -> tuple[str, str]:
    found = _VARIABLE.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError("TILLSTREAM_NAME=VALUE, without spaces and quotes")
    if _SECRET.search(found[1]):
        raise argparse.ArgumentTypeError(f"{found[1]} would be readable in the run's parameters; use the job's role")
    return found[1], found[2]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
