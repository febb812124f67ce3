"""Jobs that read the archive wait until a load is in it."""

import subprocess
import sys
import uuid
from pathlib import Path

from local.ports import free_port
from services.common.settings import S3Settings
from tests.support.engines import TopicFactory
from tests.support.producer import archived_lines, running, send

ROOT = Path(__file__).parents[2]
Environment = dict[str, str]


def environment(kafka: str, topic: str, s3: S3Settings) -> Environment:
    assert s3.s3_secret_key
    settings = {
        "kafka_bootstrap": kafka,
        "purchases_topic": topic,
        "archive_group": f"archiver-{uuid.uuid4().hex[:8]}",
        "archive_object_age_s": "1",
        "metrics_port": str(free_port()),
        "s3_endpoint": str(s3.s3_endpoint),
        "s3_bucket": s3.s3_bucket,
        "s3_access_key": str(s3.s3_access_key),
        "s3_secret_key": s3.s3_secret_key.get_secret_value(),
    }
    return {f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}


def caught_up(variables: Environment, stalled_after_s: float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "services.archiver.caught_up", "--stalled-after", str(stalled_after_s)]
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_waits_until_all_records_are_archived(
    kafka: str, topics: TopicFactory, s3: S3Settings, tmp_path: Path
) -> None:
    topic = topics().purchases
    variables = environment(kafka, topic, s3)
    send(kafka, topic, (b'{"order_id":"%d"}' % number for number in range(2_000)))

    without_archiver = caught_up(variables, stalled_after_s=2)
    assert without_archiver.returncode == 1
    assert "2,000 of 2,000 records are not archived yet" in without_archiver.stdout
    assert "is the archiver running?" in without_archiver.stderr

    with running("services.archiver", [], variables, tmp_path / "log"):
        with_archiver = caught_up(variables, stalled_after_s=60)
        assert with_archiver.returncode == 0, with_archiver.stderr
        assert len(archived_lines(s3)) == 2_000
    assert "all is archived" in with_archiver.stdout


def test_an_empty_topic_is_archived(kafka: str, topics: TopicFactory, s3: S3Settings) -> None:
    assert caught_up(environment(kafka, topics().purchases, s3), stalled_after_s=5).returncode == 0
