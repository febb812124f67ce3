"""A run is followed to its end, whatever the platform answers in between."""

import pytest
from botocore.exceptions import EndpointConnectionError

from spark.submit.follow import follow
from spark.submit.kubernetes import status_of_job
from spark.submit.runs import PlatformAway, RunStatus, Started, SubmitError


class Scripted:
    """A platform that gives these answers, one after the other."""

    def __init__(self, *answers: RunStatus | Exception) -> None:
        self._answers = iter(answers)

    def start(self, name: str) -> Started:
        return Started(name)

    def status(self, run: str) -> RunStatus:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self, run: str) -> None: ...

    def log(self, run: str) -> str:
        return ""


AWAY = EndpointConnectionError(endpoint_url="https://emr.invalid")
RUNS, DONE = RunStatus("RUNNING"), RunStatus("SUCCESS", "succeeded")


def test_changes_are_said_once_and_silence_every_minute() -> None:
    said: list[str] = []
    seconds = iter(range(0, 1000, 20))
    platform = Scripted(RunStatus("SUBMITTED"), *[RUNS] * 6, RunStatus("RUNNING", None, "train"), DONE)
    assert follow(platform, "r", said.append, 0, lambda: next(seconds)) == DONE
    assert [line.split("] ")[1] for line in said] == ["SUBMITTED", "RUNNING", "RUNNING", "RUNNING: train", "SUCCESS"]


def test_a_platform_that_is_away_for_a_while_changes_nothing() -> None:
    refused = PlatformAway("connection refused")
    assert follow(Scripted(RUNS, *[AWAY] * 9, RUNS, *[refused] * 9, DONE), "r", lambda _: None, 0) == DONE


def test_a_platform_that_stays_away_ends_the_following_and_not_the_run() -> None:
    with pytest.raises(SubmitError, match="the run goes on"):
        follow(Scripted(*[AWAY] * 10), "r", lambda _: None, 0)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, RunStatus("Pending")),
        ({"active": 1, "ready": 0}, RunStatus("Pending")),
        ({"active": 1, "ready": 1}, RunStatus("Running")),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, RunStatus("Complete", "succeeded")),
        ({"conditions": [{"type": "Complete", "status": "False"}]}, RunStatus("Pending")),
        (
            {"conditions": [{"type": "Failed", "status": "True", "message": "deadline"}]},
            RunStatus("Failed", "failed", "deadline"),
        ),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, RunStatus("Suspended", "cancelled")),
    ],
    ids=["new", "starts", "ready", "complete", "not complete", "failed", "suspended"],
)
def test_the_status_of_a_kubernetes_job(status: dict[str, object], expected: RunStatus) -> None:
    assert status_of_job({"status": status}) == expected
