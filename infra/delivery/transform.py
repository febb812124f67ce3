"""Turns records into lines of the archive: Data Firehose delivers a record's value alone, with nothing between two.

The line is the archiver's (services/common/archive/lines.py), so the batch job reads both archives alike. Partition and
offset in it identify a record that Firehose delivers twice.
"""

import base64
import binascii
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from services.common.archive.lines import archive_line

# Lambda refuses an answer of more than 6 MB; the room left is for what is around the records.
MAX_ANSWER_BYTES = 6_000_000
_ANSWER_RECORD_BYTES = len('{"recordId": "", "result": "Ok", "kafkaRecordValue": ""}, ')


class TransformedRecord(TypedDict):
    """One record of the answer. `kafkaRecordValue` is the line in Base64."""

    recordId: str
    result: str
    kafkaRecordValue: NotRequired[str]


def handler(event: Mapping[str, Any], _context: object) -> dict[str, list[TransformedRecord]]:
    """The answer to Firehose: each record as `Ok`, or as `ProcessingFailed`, which leaves it to the error prefix.

    A record fails where it does not say its place in the topic, or where the answer would become too large.
    """
    answer = transform(event["records"], MAX_ANSWER_BYTES)
    if failed := sum(record["result"] != "Ok" for record in answer):
        print(failures(failed))
    return {"records": answer}


def transform(records: Sequence[Mapping[str, Any]], room: int) -> list[TransformedRecord]:
    """The records in the order of the request, as lines that need at most `room` bytes together."""
    answer: list[TransformedRecord] = []
    for record in records:
        record_id = record["recordId"]
        line = _line(record)
        size = _ANSWER_RECORD_BYTES + len(record_id) + len(line or "")
        if line is None or size > room:
            answer.append({"recordId": record_id, "result": "ProcessingFailed"})
        else:
            room -= size
            answer.append({"recordId": record_id, "result": "Ok", "kafkaRecordValue": line})
    return answer


def _line(record: Mapping[str, Any]) -> str | None:
    """The archive's line in Base64; None where the record does not say where and when it was in the topic."""
    try:
        place = record["mskRecordMetadata"]
        partition, offset = int(place["partitionId"]), int(place["offset"])
        timestamp_ms = int(place["approximateArrivalTimestamp"])
        value = _value(record.get("kafkaRecordValue"))
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
    return base64.b64encode(archive_line(partition, offset, timestamp_ms, value)).decode()


def _value(encoded: str | None) -> bytes | None:
    return None if encoded is None else base64.b64decode(encoded, validate=True)


def failures(count: int) -> str:
    """A log line that CloudWatch turns into the metric ProcessingFailed (embedded metric format)."""
    metric = {"Name": "ProcessingFailed", "Unit": "Count"}
    directive = {"Namespace": "Tillstream", "Dimensions": [[]], "Metrics": [metric]}
    now_ms = time.time_ns() // 1_000_000
    return json.dumps({"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}, "ProcessingFailed": count})
