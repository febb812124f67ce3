"""Time of the batch job, step by step: a file's purchases as an archive in S3, then `python -m spark run`.

python -m bench.train --csv kz.csv.gz              the first model, then a second one, as in every later run
python -m bench.train --csv kz.csv.gz --runs 1
TILLSTREAM_SEARCH_CANDIDATES=2000 python -m bench.train --csv kz.csv.gz
"""

import argparse
import gzip
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.machine import machine
from local.engines import S3Engine
from local.layout import REPOSITORY, STATE
from local.ports import free_port
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from spark.import_csv import events

LINES_AN_OBJECT = 100_000


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit status of the job."""
    options = _parser().parse_args(arguments)
    print(machine())
    STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=STATE) as folder, s3(Path(folder)) as settings:
        with closing(ObjectStore(settings)) as store:
            store.create_bucket()
            print(f"{archive(options.csv, store):,} purchases archived", flush=True)
        statuses = (timed_run(number, settings, Path(folder) / "spark") for number in range(1, options.runs + 1))
        return next((status for status in statuses if status), 0)


def timed_run(number: int, settings: S3Settings, scratch: Path) -> int:
    """One run of the job; returns its exit status."""
    started = time.monotonic()
    status = run_job(settings, scratch)
    print(f"run {number}: {time.monotonic() - started:.0f} s in all", flush=True)
    return status


@contextmanager
def s3(folder: Path) -> Iterator[S3Settings]:
    """An S3 server of its own."""
    engine = S3Engine(folder / "data", folder / "log", free_port())
    engine.start()
    try:
        engine.wait_ready()
        yield engine.settings(bucket="bench")
    finally:
        engine.stop()


def archive(csv: Path, store: ObjectStore) -> int:
    """Write the file's valid rows as the archiver would; returns their number."""
    now_ms = time.time_ns() // 1_000_000
    hour = time.strftime("%Y/%m/%d/%H", time.gmtime(now_ms // 1000))
    archived = 0
    lines = _lines(csv, now_ms)
    for chunk in iter(lambda: [*itertools.islice(lines, LINES_AN_OBJECT)], []):
        body = gzip.compress(b"".join(chunk), compresslevel=1)
        store.put_new(f"raw/purchases/{hour}/0-{archived:020d}.json.gz", body)
        archived += len(chunk)
    return archived


def _lines(csv: Path, now_ms: int) -> Iterator[bytes]:
    valid = (event for event in events(csv, now_ms) if event is not None)
    for offset, event in enumerate(valid):
        yield b'{"partition":0,"offset":%d,"timestamp":%d,"value":%s}\n' % (offset, now_ms, event)


def run_job(settings: S3Settings, scratch: Path) -> int:
    """`python -m spark run`, its steps on our own output."""
    secret = settings.s3_secret_key
    environment = {
        "TILLSTREAM_S3_ENDPOINT": settings.s3_endpoint or "",
        "TILLSTREAM_S3_BUCKET": settings.s3_bucket,
        "TILLSTREAM_S3_ACCESS_KEY": settings.s3_access_key or "",
        "TILLSTREAM_S3_SECRET_KEY": secret.get_secret_value() if secret else "",
        "TILLSTREAM_SPARK_DIR": str(scratch),
    }
    command = [sys.executable, "-m", "spark", "run"]
    return subprocess.run(command, env=os.environ | environment, cwd=REPOSITORY, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True, help="purchases in the seed layout, plain or .gz")
    parser.add_argument("--runs", type=int, default=2, help="runs of the job, one after another (default: 2)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
