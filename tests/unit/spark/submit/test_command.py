"""The command line of spark.submit."""

import subprocess
import sys
from pathlib import Path

import pytest

from spark.submit.__main__ import main
from spark.submit.packing import REPOSITORY


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "emr-serverless"], "needs TILLSTREAM_EMR_APPLICATION_ID, TILLSTREAM_EMR_ROLE_ARN"),
        (["--to", "emr-ec2"], "needs TILLSTREAM_EMR_CLUSTER_ID"),
        (["--to", "k8s", "--env", "TILLSTREAM_ALS_RANK=32"], "runs the CronJob as it is"),
        (["--to", "local", "--follow", "1"], "only be followed where it was started"),
        (["--to", "local", "--detach"], "for platforms that keep a run"),
    ],
    ids=["application", "cluster", "variables", "local", "detached"],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "variable", ["TILLSTREAM_S3_SECRET_KEY=x", "PATH=/", "TILLSTREAM_A=b c"], ids=["secret", "other", "space"]
)
def test_secrets_and_what_is_no_setting_are_refused(variable: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--to", "emr-ec2", "--env", variable])
    assert "argument --env" in capsys.readouterr().err


def test_kubectl_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TILLSTREAM_KUBECTL", "/nowhere/kubectl")
    assert main(["--to", "k8s"]) == 1
    assert "/nowhere/kubectl is not installed; TILLSTREAM_KUBECTL" in capsys.readouterr().err


def test_a_local_run_gives_its_fate(tmp_path: Path) -> None:
    """A job that refuses its settings ends with another status than one that succeeds."""
    command = [sys.executable, "-m", "spark.submit", "--to", "local", "--env", "TILLSTREAM_ALS_RANK=0"]
    scratch = {"TILLSTREAM_SPARK_DIR": str(tmp_path / "spark"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=REPOSITORY, env=scratch, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TILLSTREAM_ALS_RANK" in done.stderr
    assert "the model and the figures of the run before stay" in done.stderr
