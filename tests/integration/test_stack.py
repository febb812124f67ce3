"""The one-machine stack as a user meets it: commands, signals, crashes. Real engines and services.

What runs is found by the state folder in its environment, which every process of a stack inherits.
"""

import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.http import get_json
from local.layout import REPOSITORY, RULES, STATE, Layout
from local.pidfiles import PidFiles
from local.process import Identity, Process, Program, spawn
from local.services import SERVICES
from local.settings import StackSettings
from local.stack import Stack, StackError
from tests.support.machine import Machine
from tests.support.polling import wait_until

HEADER = "event_time,order_id,product_id,category_id,category_code,brand,price,user_id\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "state")
    yield machine
    machine.kill_everything()
    for layout in (Layout(machine.folder), Layout(machine.folder / "demo")):
        Stack(layout, StackSettings(), die_with_parent=True).wipe()


@pytest.fixture
def purchases(tmp_path: Path) -> Path:
    """200 customers who buy two of 40 products each, one row with a broken price."""
    rows = [
        f"2020-04-{1 + n % 28:02} 10:00:{n % 60:02} UTC,{n},{n * 7 % 40},1,toys.cubes,acme,{n % 9}.50,{n % 200}"
        for n in range(400)
    ]
    rows[17] = "2020-04-24 11:50:39 UTC,17,3,1,toys.cubes,acme,NaN,1"
    file = tmp_path / "purchases.csv"
    file.write_text(HEADER + "\n".join(rows) + "\n")
    return file


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} was never said:\n{seen}")


@pytest.mark.timeout(600)
def test_up_loads_trains_and_is_safe_to_call_again(machine: Machine, purchases: Path) -> None:
    with machine.watched() as commands:
        code, output = machine.run("up", "--csv", str(purchases))
    assert code == 0, output
    assert_secrets_are_kept(machine, commands, output)
    summary = get_json(f"{machine.page}/v1/stats/summary")
    assert (summary["events"], summary["dead_letters"], summary["lag"]) == (399, 1, 0)
    assert summary["model_version"] is not None
    before = machine.pids()

    code, output = machine.run("up")
    assert code == 0, output
    assert "no file loaded" in output
    assert machine.pids() == before, "what runs goes on"

    code, output = machine.run("status")
    assert code == 0, output
    assert re.search(r"aggregator .*ready, 0 of 400 records to apply|aggregator .*ready, 0 of 399 records", output)
    assert f"model {summary['model_version']}" in output

    code, output = machine.run("down")
    assert code == 0, output
    assert machine.pids() == {}

    code, output = machine.run("up")
    assert code == 0, output
    assert get_json(f"{machine.page}/v1/stats/summary")["events"] == 399, "the state was kept"
    code, output = machine.run("replay", str(purchases), "--source", "again")
    assert code == 0, output
    assert get_json(f"{machine.page}/v1/stats/summary")["events"] == 399, "the same lines under another name"
    more = purchases.with_name("more.csv")
    more.write_text(purchases.read_text().replace(" UTC,", " UTC,next-"))
    code, output = machine.run("replay", str(more))
    assert code == 0, output
    assert get_json(f"{machine.page}/v1/stats/summary")["events"] == 798
    assert machine.run("down")[0] == 0


def assert_secrets_are_kept(machine: Machine, commands: set[str], output: str) -> None:
    """No other user of the machine learns what opens an engine: from arguments, files, logs or the terminal."""
    parts = ("services.gateway", "-m spark", "org.apache.spark", "kafka.Kafka", "weed")
    assert [part for part in parts if part not in " ".join(commands)] == [], "all were seen"
    secrets = machine.secrets()
    assert len(secrets) == 6
    logs = {path.name: path.read_text(errors="replace") for path in (machine.folder / "logs").iterdir()}
    for secret in secrets:
        assert [command for command in commands if secret in command] == []
        assert [name for name, text in logs.items() if secret in text] == []
        assert secret not in output
    assert stat.S_IMODE(machine.folder.stat().st_mode) == 0o700
    # SeaweedFS sets the mode of its volumes' descriptions itself; the folder keeps them, too.
    assert [path for path in machine.readable_by_others() if not path.endswith(".vif")] == []


def assert_watched(machine: Machine, output: str) -> None:
    """Prometheus scrapes every service and evaluates the rules, Alertmanager has its alerts, the gateway shows them."""
    for name in ("prometheus", "alertmanager"):
        assert f"{name:<12} {machine.url(name.upper())}" in output
        folder = machine.folder / name
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    prometheus = machine.url("PROMETHEUS")
    up = f"{prometheus}/api/v1/query?query=up%3D%3D1"
    wait_until(lambda: services_in(get_json(up)) >= {*SERVICES}, "every service is scraped")
    groups = get_json(f"{prometheus}/api/v1/rules")["data"]["groups"]
    assert {group["file"] for group in groups} == {str(path) for path in RULES.glob("*.yml")}
    wait_until(
        lambda: alerts_in(get_json(f"{machine.url('ALERTMANAGER')}/api/v2/alerts")) >= {"Watchdog"},
        "Alertmanager has the watchdog",  # Prometheus repeats an alert that it sent to nobody after a minute
    )

    def shown() -> dict[str, Any]:
        alerts: dict[str, Any] = get_json(f"{machine.page}/v1/system")["alerts"]
        return alerts

    wait_until(lambda: shown()["status"] == "ok", "the gateway has asked Prometheus")
    assert (shown()["prometheus"], shown()["alertmanager"]) == (prometheus, machine.url("ALERTMANAGER"))
    _, table = machine.run("status")
    for name in ("prometheus", "alertmanager"):
        assert re.search(rf"^{name} +pid \d+ +{machine.url(name.upper())}$", table, re.MULTILINE)


def services_in(answer: Any) -> set[str]:
    return {series["metric"]["service"] for series in answer["data"]["result"]}


def alerts_in(answer: Any) -> set[str]:
    return {alert["labels"]["alertname"] for alert in answer}


@pytest.mark.timeout(600)
def test_up_with_a_header_and_no_rows_has_no_model_and_says_so(machine: Machine, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text(HEADER)
    machine.environment["TILLSTREAM_MONITORING"] = "true"
    code, output = machine.run("up", "--csv", str(empty))
    assert code == 0, output
    assert "no purchases yet, so no model is trained" in output
    assert get_json(f"{machine.page}/v1/stats/summary")["events"] == 0
    assert_watched(machine, output)
    assert machine.run("down")[0] == 0
    assert machine.pids() == {}


@pytest.mark.timeout(600)
def test_a_demo_serves_its_page_and_leaves_nothing_after_ctrl_c(machine: Machine, purchases: Path) -> None:
    del machine.environment["TILLSTREAM_SPARK_JAVA_OPTIONS"]  # Spark as users run it, with generated code
    with machine.start("demo", "--csv", str(purchases), "--rate", "20") as demo:
        output = read_until(demo, "the page is ready")
        assert "recommended to customer" in output
        wait_until(lambda: get_json(f"{machine.page}/v1/stats/summary")["events"] > 360, "more events")
        model = get_json(f"{machine.page}/v1/stats/summary")["model_version"]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=180) == 0
    assert machine.pids() == {}

    with machine.start("demo", "--keep", "--csv", str(purchases), "--rate", "20") as demo:
        output = read_until(demo, "the page is ready")
        assert "recommended to customer" in output
        assert "history" not in output
        assert get_json(f"{machine.page}/v1/stats/summary")["model_version"] == model, "nothing is trained again"
        wait_until(lambda: get_json(f"{machine.page}/v1/stats/summary")["events"] == 399, "the rest")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=180) == 0


def test_a_demo_shows_a_crash_with_the_log_and_ends(machine: Machine, purchases: Path) -> None:
    with machine.start("demo", "--csv", str(purchases)) as demo:
        read_until(demo, "kafka ")
        wait_until(lambda: "services.aggregator" in " ".join(machine.pids().values()), "an aggregator")
        victim = next(pid for pid, command in machine.pids().items() if "services.aggregator" in command)
        os.kill(victim, signal.SIGKILL)
        output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 1
    assert re.search(r"error: aggregator has ended by SIGKILL; the end of .*aggregator.log:\n.+", output)
    assert machine.pids() == {}


def test_a_demo_that_is_killed_leaves_nothing_behind(machine: Machine, purchases: Path) -> None:
    machine.environment["TILLSTREAM_MONITORING"] = "true"
    with machine.start("demo", "--csv", str(purchases)) as demo:
        read_until(demo, "prometheus ")
        assert "prometheus" in " ".join(machine.pids().values())
        demo.kill()
    wait_until(lambda: machine.pids() == {}, "no process left")


def test_a_second_demo_is_refused(machine: Machine, purchases: Path) -> None:
    with machine.start("demo", "--csv", str(purchases)) as demo:
        wait_until((machine.folder / "demo" / "logs").exists, "the demo's logs")
        code, output = machine.run("demo", "--csv", str(purchases))
        assert (code, output) == (1, "error: another `make demo` is running\n")
        demo.terminate()
        demo.communicate(timeout=180)


def test_a_port_in_use_is_named_before_anything_starts(machine: Machine, purchases: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        machine.environment["TILLSTREAM_RECOMMENDER_METRICS_PORT"] = str(port)
        code, output = machine.run("up", "--csv", str(purchases))
    assert code == 2
    assert output == (
        f"error: port {port} on 127.0.0.1 is in use: "
        "stop what listens there or set TILLSTREAM_RECOMMENDER_METRICS_PORT\n"
    )
    assert machine.pids() == {}


def test_a_service_that_cannot_start_takes_back_what_up_has_started(machine: Machine, purchases: Path) -> None:
    machine.environment["TILLSTREAM_AGGREGATOR_CHUNK"] = "no number"
    code, output = machine.run("up", "--csv", str(purchases))
    assert code == 1
    assert "aggregator has ended with exit code" in output
    assert machine.pids() == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "/nowhere.csv"], "/nowhere.csv cannot be read: No such file"),
        (["demo", "--csv", "/nowhere.csv"], "/nowhere.csv cannot be read: No such file"),
        (["train"], "not running; `make up` starts the stack"),
        (["down"], "nothing runs"),
        (["status"], "kafka        stopped"),
    ],
)
def test_commands_without_a_stack_say_what_is_missing(machine: Machine, arguments: list[str], words: str) -> None:
    assert words in machine.run(*arguments)[1]


def test_a_wrong_setting_is_named(machine: Machine) -> None:
    machine.environment["TILLSTREAM_KAFKA_PORT"] = "70000"
    code, output = machine.run("status")
    assert code == 2
    assert output.startswith("error: TILLSTREAM_KAFKA_PORT: ")
    machine.environment["TILLSTREAM_KAFKA_PORT"] = machine.environment["TILLSTREAM_S3_PORT"]
    assert "TILLSTREAM_S3_PORT and TILLSTREAM_KAFKA_PORT are both" in machine.run("status")[1]


def test_engines_of_the_users_own_are_not_started(tmp_path: Path) -> None:
    settings = StackSettings(kafka_bootstrap="broker:9092", s3_endpoint="http://store:8333", s3_access_key="mine")
    stack = Stack(Layout(tmp_path), settings, die_with_parent=True)
    assert [engine.name for engine in stack.engines] == ["valkey"]
    assert stack.environment["TILLSTREAM_KAFKA_BOOTSTRAP"] == "broker:9092"
    assert stack.environment["TILLSTREAM_S3_ACCESS_KEY"] == "mine"
    password = Layout(tmp_path).redis_password.read_text()
    assert stack.environment["TILLSTREAM_REDIS_URL"] == f"redis://:{password}@127.0.0.1:6379/0"


def test_a_reused_pid_is_neither_taken_for_ours_nor_killed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    program = Program("stranger", ["sleep", "60"], tmp_path / "log", REPOSITORY)
    stranger = spawn(program, die_with_parent=True)
    try:
        impostor = Identity(stranger.identity.pid, "another birth")
        PidFiles(layout.run).write(Process("gateway", impostor, tmp_path / "log", 1), "127.0.0.1:8080")
        stack = Stack(layout, StackSettings(), die_with_parent=False)
        stack.find(wherever=True)
        assert stack.running == []
        assert stack.crashed("gateway")
        stack.stop()
        assert stranger.alive
    finally:
        stranger.kill()


def test_a_part_that_listens_elsewhere_than_asked_is_not_taken_for_running(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    gateway = spawn(Program("gateway", ["sleep", "60"], tmp_path / "log", REPOSITORY), die_with_parent=True)
    try:
        PidFiles(layout.run).write(gateway, "127.0.0.1:9999")
        with pytest.raises(StackError, match=r"gateway runs at 127.0.0.1:9999, but the settings say 127.0.0.1:8080"):
            Stack(layout, StackSettings(), die_with_parent=False).find()
    finally:
        gateway.kill()


def test_state_is_kept_in_the_checkout() -> None:
    assert StackSettings().state_dir == STATE
    assert STATE == REPOSITORY / ".tillstream"
