"""The pure parts of the one-machine stack."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from pydantic import ValidationError

from local.engines.kafka import server_properties
from local.http import readiness_of
from local.lag import Lag, LagProbe, applied
from local.layout import REPOSITORY, Layout
from local.ports import free_port, inner_ports
from local.prerequisites import MissingPrerequisite, java, node, version_in
from local.process import tail
from local.producer_run import ProducerRun
from local.services import services
from local.settings import StackSettings, free_port_settings
from services.common.kafka import behind
from tests.support.engines import SMALL_JOBS

FIRST, SECOND = TopicPartition("purchases", 0), TopicPartition("purchases", 1)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', (17, 0)),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21" 2023-09-19', (21, 0)),
        ('java version "1.8.0_402"', (8, 0)),
        ("v20.20.2\n", (20, 20)),
        ("command not found", None),
    ],
)
def test_the_version_is_read_from_what_programs_say(text: str, version: tuple[int, int] | None) -> None:
    assert version_in(text) == version


def program(folder: Path, name: str, says: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    path.chmod(0o755)


def test_a_missing_or_old_java_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPrerequisite, match=r"no java on PATH: .*apt-get install openjdk-17-jre-headless"):
        java()
    program(tmp_path, "java", 'openjdk version "11.0.2" 2019-01-15')
    with pytest.raises(MissingPrerequisite, match=f"{tmp_path}/java is Java 11: 17 or later is needed, apt-get"):
        java()
    program(tmp_path, "java", 'openjdk version "17.0.2" 2022-01-18')
    assert java() == tmp_path / "java"


def test_java_home_goes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingPrerequisite, match=r"no java in JAVA_HOME"):
        java()
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "java", 'openjdk version "21.0.1" 2023-10-17')
    assert java() == tmp_path / "bin" / "java"


@pytest.mark.parametrize("version", ["18.20.8", "20.18.3"])
def test_an_old_node_is_named_with_the_least_that_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "node", f"v{version}")
    major, minor, _patch = version.split(".")
    with pytest.raises(MissingPrerequisite, match=rf"is Node\.js {major}\.{minor}: 20\.19 or later is needed"):
        node()


def test_the_least_node_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "node", "v20.19.0")
    program(tmp_path, "npm", "10.8.2")
    assert node() == tmp_path / "node"


def test_a_node_without_npm_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "node", "v22.1.0")
    with pytest.raises(MissingPrerequisite, match="npm"):
        node()


def test_the_prerequisites_are_checked_with_nothing_installed_and_all_named(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); "
         "from local.prerequisites import main; sys.exit(main())"],
        cwd=REPOSITORY,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert answer.returncode == 1
    assert [line.split(":")[1] for line in answer.stderr.splitlines()] == [
        " no java on PATH",
        " no mvn on PATH",
        " no node on PATH",
    ]


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ({}, 10 + 7),
        ({FIRST: 4, SECOND: 9}, 6),
        ({FIRST: 10, SECOND: 9}, 0),
        ({FIRST: 99, SECOND: 99}, 0),
        ({SECOND: 1}, 10 + 7),  # what the log has lost is not waited for
    ],
)
def test_lag_counts_what_is_left_in_the_log(reached: dict[TopicPartition, int], expected: int) -> None:
    assert behind(reached, begins={FIRST: 0, SECOND: 2}, ends={FIRST: 10, SECOND: 9}) == expected


def test_the_lowest_mark_counts_but_for_dead_letters_which_one_shard_counts() -> None:
    """Found by the fault suite: with two shards a stack with dead letters never settled."""
    settings = StackSettings()
    assert applied(TopicPartition(settings.purchases_topic, 1), [5, 7], settings) == 5
    assert applied(TopicPartition(settings.dead_letters_topic, 1), [0, 7], settings) == 7
    assert applied(TopicPartition(settings.dead_letters_topic, 2), [9, 0], settings) == 9


def test_lag_is_settled_when_all_is_applied_and_archived() -> None:
    assert Lag(10, 0, 0).settled
    assert not Lag(10, 1, 0).settled
    assert not Lag(10, 0, 1).settled


class Engines:
    """What Kafka and Redis say: ten records, all applied, seven of them archived by the one group that there is."""

    def __init__(self, group: str) -> None:
        self.group = group

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, Any]:
        return {FIRST: SimpleNamespace(offset=7)} if group == self.group else {}

    async def get(self, key: str) -> bytes:
        return b"3"

    async def hmget(self, key: str, fields: list[str]) -> list[bytes | None]:
        if key == "tillstream:built:3":
            return [b"1", b"UTC"]
        return [b"10" if key == "tillstream:3:{0}:marks" else None] * len(fields)


async def test_what_is_archived_is_asked_of_the_archivers_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_ARCHIVE_GROUP", "archivers")
    engines: Any = Engines("archivers")
    lag = await LagProbe(StackSettings(), engines, engines, engines).lag({FIRST: 10})
    assert lag == Lag(records=10, unapplied=0, unarchived=3)


def test_readiness_names_each_failing_check() -> None:
    checks = {"kafka": {"ok": True, "detail": ""}, "tables": {"ok": False, "detail": "Redis is away"}}
    verdict = readiness_of({"ready": False, "checks": checks, "figures": {"model_version": "v1"}})
    assert (verdict.ready, verdict.failing) == (False, "tables: Redis is away")
    assert verdict.figures == {"model_version": "v1"}


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == "(no log)"
    log.touch()
    assert tail(log) == "(nothing was logged)"
    log.write_bytes(b"x" * 100_000 + b"\n" + b"\n".join(b"%d" % n for n in range(50)) + b"\n\xff")
    assert tail(log, lines=3) == "48\n49\n\N{REPLACEMENT CHARACTER}"


def test_ports_must_differ_and_an_engines_address_may_be_given() -> None:
    with pytest.raises(ValidationError, match=r"TILLSTREAM_GATEWAY_PORT and TILLSTREAM_S3_PORT are both 8080"):
        StackSettings(s3_port=8080)
    assert len(set(free_port_settings().values())) == len(StackSettings().ports())


def test_no_port_is_given_away_twice_whether_it_is_listened_on_yet_or_not() -> None:
    given = [free_port() for _ in range(100)]
    inner = [port for _ in range(700) for port in inner_ports(7, own=27_001)]  # as many as there are, or more
    assert len(set(given)) == 100
    assert not {*given, 27_001} & set(inner)


def test_processes_that_share_the_ports_are_never_given_the_same_one() -> None:
    script = "from local.ports import *; take_share({}, 2); print(*free_ports(500))"
    given = [
        set(subprocess.check_output([sys.executable, "-c", script.format(index)], cwd=REPOSITORY).split())
        for index in (0, 1)
    ]
    assert [len(ports) for ports in given] == [500, 500]
    assert not given[0] & given[1]


def test_every_service_is_told_the_ports_of_the_others(tmp_path: Path) -> None:
    settings = StackSettings(recommender_port=20001, archiver_metrics_port=20002, gateway_port=20003)
    parts = {part.name: part for part in services(settings, Layout(tmp_path), {})}
    gateway = parts["gateway"].program.environment
    assert gateway["TILLSTREAM_RECOMMENDER_ADDRESS"] == "127.0.0.1:20001"
    assert gateway["TILLSTREAM_ARCHIVER_TELEMETRY"] == "http://127.0.0.1:20002"
    assert parts["gateway"].health == "http://127.0.0.1:20003"
    assert parts["recommender"].program.environment["TILLSTREAM_RECOMMENDER_PORT"] == "20001"
    assert parts["archiver"].program.environment["TILLSTREAM_METRICS_PORT"] == "20002"


def test_a_feed_becomes_the_producers_command_line(tmp_path: Path) -> None:
    run = ProducerRun(tmp_path / "kz.csv.gz", "x3600", source="kz", rows="90%:")
    program = run.program(StackSettings(), Layout(tmp_path), {}, None)
    assert list(program.argv)[1:] == [
        *("-m", "services.producer", str(tmp_path / "kz.csv.gz")),
        *("--rate", "x3600", "--source", "kz", "--rows", "90%:", "--state", str(tmp_path / "data" / "producer")),
    ]


def test_kafka_listens_on_loopback_only_and_creates_no_topic_by_itself() -> None:
    lines = server_properties(Path("/data"), 9092, 9093).splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093" in lines
    assert "auto.create.topics.enable=false" in lines
    assert "log.dirs=/data" in lines


def test_no_setting_of_the_developers_own_reaches_the_tests() -> None:
    assert {name for name in os.environ if name.startswith("TILLSTREAM_")} == set(SMALL_JOBS)
