"""The function that Data Firehose calls: its lines are those of the archiver."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.delivery.transform import handler, transform
from infra.packages import copy_function
from services.common.archive.lines import archive_line
from spark.records import checked_row
from tests.support.archive import as_archived

BROKER_MS = 1_716_369_573_887
PURCHASE = (
    b'{"event_id":"e-1","event_time":"2024-05-22T09:19:33Z","order_id":"2309026784","product_id":"1515966223509089906",'
    b'"price":"162.01","quantity":1}'
)


def record(value: bytes | None, offset: int = 7, partition: int = 3) -> dict[str, Any]:
    """A record as Data Firehose gives it to a function, for a stream whose source is MSK."""
    encoded = {} if value is None else {"kafkaRecordValue": base64.b64encode(value).decode()}
    return {
        "recordId": f"{offset:062d}",
        "approximateArrivalTimestamp": BROKER_MS + 40,
        "mskRecordMetadata": {
            "offset": str(offset),
            "partitionId": str(partition),
            "approximateArrivalTimestamp": BROKER_MS,
        },
        **encoded,
    }


def event(*records: dict[str, Any]) -> dict[str, Any]:
    """The request of Data Firehose."""
    return {
        "invocationId": "b8a1f0f6-4a5c-4a2a-9d3b-0d8f0e5a1c11",
        "sourceMSKArn": "arn:aws:kafka:eu-central-1:111122223333:cluster/tillstream/9f3c/2",
        "deliveryStreamArn": "arn:aws:firehose:eu-central-1:111122223333:deliverystream/tillstream-purchases",
        "region": "eu-central-1",
        "records": list(records),
    }


def lines(answer: dict[str, Any]) -> list[bytes]:
    """The lines of an answer; every record was transformed."""
    assert {each["result"] for each in answer["records"]} <= {"Ok"}
    return [base64.b64decode(each["kafkaRecordValue"]) for each in answer["records"]]


def test_a_record_becomes_the_archivers_line() -> None:
    answer = handler(event(record(PURCHASE)), None)
    assert [each["recordId"] for each in answer["records"]] == [f"{7:062d}"]
    assert lines(answer) == [archive_line(3, 7, BROKER_MS, PURCHASE)]
    json.dumps(answer)  # what Lambda does with it


@example(b"\r0")  # JSON whose white space the archive does not keep
@given(st.none() | st.binary(max_size=200) | st.text(max_size=80).map(lambda text: json.dumps({"note": text}).encode()))
def test_the_line_says_what_the_contract_says(value: bytes | None) -> None:
    (line,) = lines(handler(event(record(value)), None))
    assert json.loads(line) == {"partition": 3, "offset": 7, "timestamp": BROKER_MS, **as_archived(value)}
    assert line == archive_line(3, 7, BROKER_MS, value)


def test_joined_lines_are_three_sales_for_the_batch_job() -> None:
    """Firehose puts nothing between two records: the newline is the function's."""
    text = b"".join(lines(handler(event(*(record(PURCHASE, offset) for offset in range(3))), None)))
    rows = [checked_row(line, "raw/purchases/2024/05/22/09/x.json.gz", 0) for line in text.split(b"\n") if line]
    assert [(row[:3], row[-2]) for row in rows] == [((3, offset, BROKER_MS), None) for offset in range(3)]


@pytest.mark.parametrize(
    "damage",
    [
        {"mskRecordMetadata": None},
        {"mskRecordMetadata": {"offset": "x", "partitionId": "0", "approximateArrivalTimestamp": 1}},
        {"mskRecordMetadata": {"partitionId": "0", "approximateArrivalTimestamp": 1}},
        {"kafkaRecordValue": "no Base64!"},
    ],
)
def test_a_record_without_its_place_fails_alone(damage: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answer = handler(event(record(PURCHASE, 1), {**record(PURCHASE, 2), **damage}, record(PURCHASE, 3)), None)
    assert [each["result"] for each in answer["records"]] == ["Ok", "ProcessingFailed", "Ok"]
    assert "kafkaRecordValue" not in answer["records"][1]
    assert json.loads(capsys.readouterr().out)["ProcessingFailed"] == 1


def test_the_answer_never_exceeds_its_limit() -> None:
    # A control character is six bytes in JSON: the answer is several times as large as the request.
    answer = transform([record(b"\x01" * 1000, offset) for offset in range(20)], room=40_000)
    results = [each["result"] for each in answer]
    assert len(json.dumps({"records": answer})) <= 40_000 + len(results) * 110
    assert results[:4] == ["Ok"] * 4
    assert results[-1] == "ProcessingFailed"
    assert sum(len(json.dumps(each)) for each in answer if each["result"] == "Ok") <= 40_000


def test_a_small_record_fits_after_one_that_is_too_large() -> None:
    answer = transform([record(b"\x01" * 1000, 1), record(PURCHASE, 2)], room=2_000)
    assert [each["result"] for each in answer] == ["ProcessingFailed", "Ok"]


def test_the_package_holds_all_that_the_function_imports(tmp_path: Path) -> None:
    """Run from the folder that is deployed, with msgspec as the only other package."""
    package = copy_function(tmp_path / "function")
    only = tmp_path / "packages"
    only.mkdir()
    (only / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    code = (
        f"import sys; sys.path[:0] = {[str(package), str(only)]}\n"
        "import json; from infra.delivery.transform import handler\n"
        "print(json.dumps(handler(json.load(sys.stdin), None)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input=json.dumps(event(record(PURCHASE))),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert lines(json.loads(done.stdout)) == [archive_line(3, 7, BROKER_MS, PURCHASE)]
