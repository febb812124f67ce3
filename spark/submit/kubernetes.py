"""Kubernetes: a Job made from the CronJob `batch`, with its image, its settings and its rights, by kubectl."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from spark.submit.runs import PlatformAway, RunStatus, Started, SubmitError

_CRON_JOB = "cronjob/batch"
_FOR_GOOD = ("NotFound", "Forbidden", "Unauthorized", "not found")  # in what kubectl says


class Kubernetes:
    """Jobs of one namespace, of the cluster that kubectl's current context names."""

    def __init__(self, kubectl: str, namespace: str) -> None:
        self._kubectl = [kubectl, f"--namespace={namespace}"]
        self._namespace = namespace

    def start(self, name: str) -> Started:
        """See Platform. A Job of this name is the run; its name is the id."""
        answer = self._run("create", "job", name, f"--from={_CRON_JOB}")
        found = "AlreadyExists" in answer.stderr
        if answer.returncode and not found:
            raise SubmitError(f"namespace {self._namespace} does not take the job: {_last_line(answer.stderr)}")
        return Started(name, found)

    def status(self, run: str) -> RunStatus:
        """See Platform. The progress is the last line of the log."""
        status = status_of_job(self._call("get", "job", run, "--output=json"))
        if status.fate or status.word == "Pending":
            return status
        said = self._run("logs", f"job/{run}", "--tail=1")
        return RunStatus(status.word, None, _last_line(said.stdout))

    def cancel(self, run: str) -> None:
        """See Platform. A suspended Job keeps its record, and its pod ends."""
        self._call("patch", "job", run, "--patch", '{"spec": {"suspend": true}}', "--output=json")

    def log(self, run: str) -> str:
        """See Platform."""
        return f"kubectl --namespace={self._namespace} logs job/{run} --follow"

    def _call(self, *arguments: str) -> dict[str, Any]:
        answer = self._run(*arguments)
        if answer.returncode:
            said = _last_line(answer.stderr)
            raise SubmitError(said) if any(word in said for word in _FOR_GOOD) else PlatformAway(said)
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command: Sequence[str] = [*self._kubectl, *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise SubmitError(f"{command[0]} is not installed; TILLSTREAM_KUBECTL may name its path") from error


def status_of_job(job: dict[str, Any]) -> RunStatus:
    """The status of a Job from its object."""
    status = job.get("status", {})
    met = {each["type"]: each for each in status.get("conditions", []) if each["status"] == "True"}
    if "Complete" in met:
        return RunStatus("Complete", "succeeded")
    if "Failed" in met:
        return RunStatus("Failed", "failed", met["Failed"].get("message", ""))
    if "Suspended" in met:
        return RunStatus("Suspended", "cancelled")
    return RunStatus("Running" if status.get("ready") else "Pending")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
