"""`python -m services.deadletters` on a real Kafka and Valkey: what it shows, writes and sends."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from aiokafka import AIOKafkaProducer

from services.common.dead_letters import FileOrigin, Origin, RecordOrigin, cut, dead_letter_headers
from services.common.events import Reason, Rejected
from services.common.tables import shard_keys
from tests.support.engines import TopicFactory, TopicNames
from tests.support.producer import ROOT, read_topic, row

BAD_TIME = row(7).replace("2020-04-24", "1970-01-01")
BIG = b'{"note":"%s"}' % (b"x" * 950_000)
REPAIRS = """
def repair(event, letter):
    if letter.reason != "bad_time":
        return None
    return event | {"event_time": event["event_time"].replace("1970-01-01", "2020-11-21")}
"""

DeadLetters = list[tuple[Origin, Rejected, bytes]]
Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics(partitions=2)


@pytest.fixture
def tool(kafka: str, names: TopicNames, redis_url: str, tmp_path: Path) -> Tool:
    """Runs the command line as a person would, in a folder of their own."""

    def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PYTHONPATH": str(ROOT),
            "TILLSTREAM_KAFKA_BOOTSTRAP": kafka,
            "TILLSTREAM_PURCHASES_TOPIC": names.purchases,
            "TILLSTREAM_DEAD_LETTERS_TOPIC": names.dead_letters,
            "TILLSTREAM_REDIS_URL": redis_url,
        } | {f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "services.deadletters", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


def dead_letters_of(names: TopicNames) -> DeadLetters:
    """Three rows of a file in a row, one of them written twice; a record that was cut; one that is no JSON."""
    too_large = Rejected(Reason.TOO_LARGE, "950011 bytes are more than 65536")
    rows: DeadLetters = [
        (FileOrigin("kz.csv", number), Rejected(Reason.BAD_TIME, "event_time is before 2000"), BAD_TIME.encode())
        for number in (7, 8, 8, 9)
    ]
    return [
        *rows,
        (FileOrigin("kz.csv", 20), Rejected(Reason.BAD_ROW, "2 fields"), b"half,row"),
        (RecordOrigin(names.purchases, 0, 0), too_large, BIG),
        (RecordOrigin(names.purchases, 0, 1), Rejected(Reason.NOT_JSON, "malformed"), b"\xff{"),
    ]


@pytest.fixture
def dead_letters(kafka: str, names: TopicNames) -> DeadLetters:
    """Dead letters as producer and aggregator write them, and the two records that the latter's point to."""

    async def write() -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            for value in (BIG, b"\xff{"):
                await producer.send_and_wait(names.purchases, value, partition=0)
            for origin, rejected, value in dead_letters_of(names):
                kept, cut_reason = cut(value, rejected)
                headers = dead_letter_headers(origin, cut_reason, "test")
                await producer.send_and_wait(names.dead_letters, kept, key=origin.source.encode(), headers=headers)

    asyncio.run(write())
    return dead_letters_of(names)


def printed(answer: "subprocess.CompletedProcess[str]") -> list[Any]:
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_dead_letters_are_listed_shown_and_counted(tool: Tool, names: TopicNames, dead_letters: DeadLetters) -> None:
    listed = printed(tool("list", "--json", "--limit", "0"))
    assert sorted(dead_letter["origin"] for dead_letter in listed) == sorted(
        {origin.name for origin, _, _ in dead_letters}
    )
    assert {
        dead_letter["reason"]
        for dead_letter in printed(tool("list", "--json", "--reason", "bad_time", "--since", "1h"))
    } == {"bad_time"}
    assert printed(tool("list", "--json", "--until", "1h")) == []
    newest = tool("list", "--json", "--source", "kz.csv", "--limit", "3")
    assert [dead_letter["origin"] for dead_letter in printed(newest)] == ["kz.csv:8", "kz.csv:9", "kz.csv:20"], (
        "the newest last"
    )
    assert newest.stderr == "1 older ones are not shown: see --limit\n"
    table = tool("list", "--source", "kz.csv").stdout
    assert "bad_time       kz.csv:7" in table
    assert BAD_TIME[:60] in table

    shown = tool("show", "kz.csv:7").stdout
    assert "source-row" in shown
    assert shown.endswith(f"{BAD_TIME}\n")
    (whole,) = printed(tool("show", f"{names.purchases}/0/0", "--json"))
    assert whole["payload"] == BIG.decode()
    (binary,) = printed(tool("show", f"{names.purchases}/0/1", "--json"))
    assert binary["payload_base64"] == "/3s="
    missing = tool("show", "kz.csv:10")
    assert (missing.returncode, "no dead letter of kz.csv:10" in missing.stderr) == (1, True)

    *groups, whole = printed(tool("stats", "--json"))
    assert {(group["reason"], group["source"]): group["letters"] for group in groups} == {
        ("bad_time", "kz.csv"): 3,
        ("bad_row", "kz.csv"): 1,
        ("too_large", f"{names.purchases}/0"): 1,
        ("not_json", f"{names.purchases}/0"): 1,
    }
    assert whole == {"letters": 6, "longest_run": 3, "replayed": 0}


@pytest.mark.usefixtures("dead_letters")
def test_repaired_dead_letters_are_written_checked_and_sent(
    tool: Tool, kafka: str, names: TopicNames, tmp_path: Path, redis_url: str
) -> None:
    (tmp_path / "repairs.py").write_text(REPAIRS)
    dry = tool("repair", "--with", "repairs.py", "--dry-run")
    assert (dry.returncode, dry.stdout.splitlines()[0]) == (
        0,
        "6 in all: 3 valid worth 21.21, 0 still wrong, 3 left out",
    )
    assert not (tmp_path / "repaired.jsonl").exists()
    assert tool("repair", "--with", "repairs.py").returncode == 0
    events = [json.loads(line) for line in (tmp_path / "repaired.jsonl").read_text().splitlines()]
    assert [event["replay_of"] for event in events] == ["kz.csv:7", "kz.csv:8", "kz.csv:9"]

    unasked = tool("replay", "repaired.jsonl")
    assert (unasked.returncode, "nothing was sent" in unasked.stderr) == (2, True)
    with (tmp_path / "repaired.jsonl").open("a") as file:
        file.write(json.dumps(events[0] | {"price": "NaN"}) + "\n")
    sent = tool("replay", "repaired.jsonl", "--yes")
    assert sent.returncode == 1
    assert "repaired.jsonl line 4  price 'NaN' is not a plain decimal number" in sent.stdout
    records = [record for record in read_topic(kafka, names.purchases) if record.key]
    assert sorted((json.loads(record.value or b"") for record in records), key=lambda e: str(e["event_id"])) == events
    assert {record.key for record in records} == {events[0]["user_id"].encode()}

    (keys,) = shard_keys(1)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(keys("replays"), "kz.csv:8:replay", "purchases/0/5")
    assert "replayed: 16.7% (1)" in tool("stats").stdout


def test_dead_letters_are_repaired_and_sent_in_one_go(
    tool: Tool, kafka: str, names: TopicNames, dead_letters: DeadLetters, tmp_path: Path
) -> None:
    (tmp_path / "repairs.py").write_text(REPAIRS)
    sent = tool("replay", "--with", "repairs.py", "--source", "kz.csv", "--limit", "2", "--yes")
    assert sent.returncode == 0, sent.stderr
    assert "2 events are in" in sent.stdout
    as_is = tool("replay", "--as-is", "--reason", "not_json", "--yes")
    assert (as_is.returncode, "nothing to send" in as_is.stderr) == (1, True)
    assert "still wrong, missing_field: 1" in as_is.stdout
    ids = [json.loads(record.value or b"")["event_id"] for record in read_topic(kafka, names.purchases) if record.key]
    assert sorted(ids) == ["kz.csv:7:replay", "kz.csv:8:replay"]


def test_what_is_missing_is_one_clear_line(tool: Tool) -> None:
    for answer, line in (
        (tool("list", kafka_bootstrap="127.0.0.1:1"), "deadletters: Kafka at 127.0.0.1:1 does not answer"),
        (tool("list", dead_letters_topic="nowhere"), "deadletters: topic nowhere does not exist"),
        (tool("repair", "--with", "nothing.py"), "deadletters: nothing.py is no Python file"),
        (tool("replay", "nothing.jsonl"), "deadletters: [Errno 2] No such file"),
        (tool("stats", shards="0"), "deadletters: TILLSTREAM_SHARDS"),
    ):
        assert answer.returncode in (1, 2)
        assert answer.stderr.startswith(line), answer.stderr
        assert len(answer.stderr.splitlines()) == 1


def test_without_redis_the_share_that_was_replayed_is_unknown(tool: Tool, dead_letters: DeadLetters) -> None:
    answer = tool("stats", redis_url="redis://127.0.0.1:1")
    assert answer.stdout.endswith("replayed: unknown, Redis does not answer\n")
