"""cfn-lint, and alarms."""

import subprocess
import sys
from pathlib import Path

from infra.packages import REPOSITORY
from tests.aws.templates import Installation

CONFIG = REPOSITORY / "infra" / "cfnlint.yaml"


def test_cfn_lint_finds_nothing(synthesized: Path) -> None:
    found = map(str, synthesized.glob("default/*.template.json"))
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--config-file", str(CONFIG), *found]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_is_sent_and_says_where_to_read(installation: Installation) -> None:
    page = (REPOSITORY / "docs" / "aws.md").read_text()
    alarms = installation.all("AWS::CloudWatch::Alarm")
    for alarm in alarms:
        assert alarm["AlarmActions"], alarm
        assert "docs/aws.md#alarms" in alarm["AlarmDescription"]
    assert "## Alarms" in page
    metrics = {(each["Namespace"], each["MetricName"]) for each in alarms}
    assert ("AWS/Firehose", "DeliveryToS3.DataFreshness") in metrics
    assert ("Tillstream", "ProcessingFailed") in metrics


def test_only_tls_publishes_alarms(installation: Installation) -> None:
    statements = installation.only("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [each.get("Condition") for each in statements]
