"""Jobs that read the archive wait until a load is in it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from services.common.settings import S3Settings
from tests.integration.test_archiver import ARCHIVER, environment, event, is_archived
from tests.support.engines import TopicFactory
from tests.support.producer import running, send

ROOT = Path(__file__).parents[2]


def caught_up(variables: Mapping[str, str], stalled_after_s: float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "services.archiver.caught_up", "--stalled-after", str(stalled_after_s)]
    return subprocess.run(command, env=dict(variables), cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_waits_until_all_records_are_archived(
    kafka: str, topics: TopicFactory, s3: S3Settings, tmp_path: Path
) -> None:
    topic = topics().purchases
    variables = environment(kafka, topic, s3)
    send(kafka, topic, (event(number) for number in range(2_000)))

    without_archiver = caught_up(variables, stalled_after_s=2)
    assert without_archiver.returncode == 1
    assert "2,000 of 2,000 records are not archived yet" in without_archiver.stdout
    assert "is the archiver running?" in without_archiver.stderr

    with running(ARCHIVER, [], variables, tmp_path / "log"):
        with_archiver = caught_up(variables, stalled_after_s=60)
        assert with_archiver.returncode == 0, with_archiver.stderr
        assert is_archived(kafka, variables, topic)
    assert "all is archived" in with_archiver.stdout


def test_an_empty_topic_is_archived(kafka: str, topics: TopicFactory, s3: S3Settings) -> None:
    assert caught_up(environment(kafka, topics().purchases, s3), stalled_after_s=5).returncode == 0
