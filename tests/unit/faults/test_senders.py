"""What the other senders of a trial send: valid where it must count, rejected where it is poison."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from services.common.events import Purchase, Rejected, parse
from tests.faults.clocks import HostClocks
from tests.faults.senders import by_order, odd_lines, poisoned, sold
from tests.support.shop import BAD_TIME, seed_rows, whole_rows

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def test_lines_under_odd_ids_are_lines_of_their_own() -> None:
    rows, messages = odd_lines(7, 300)
    verdicts = [parse(message.value, NOW_MS) for message in messages]
    lines = [verdict for verdict in verdicts if isinstance(verdict, Purchase)]
    distinct = {(line.order_id, line.event_id, line.product_id, line.quantity) for line in lines}
    assert len(distinct) == len(messages) == len(rows) > 250
    assert len({line.event_id for line in lines}) < len(rows) / 2


def test_a_poisoned_record_is_rejected_and_all_others_count() -> None:
    rows, messages, rejected = poisoned(7, 300)
    verdicts = [parse(message.value, NOW_MS) for message in messages]
    assert sum(isinstance(verdict, Rejected) for verdict in verdicts) == rejected > 50
    assert len(verdicts) == len(rows) + rejected
    assert len({verdict.reason for verdict in verdicts if isinstance(verdict, Rejected)}) >= 8


def test_of_a_file_only_orders_without_a_rejected_row_are_exported_again() -> None:
    rows = seed_rows(7, 2_000)
    orders = sold(rows, NOW)
    whole = {row[1]: len(lines) for lines in by_order(whole_rows(7, 2_000)) for row in lines[:1] if row[0] != BAD_TIME}
    assert all(len(lines) == whole[lines[0][1]] for lines in orders)
    broken = {row[1] for row in rows if len(row) == 3 or row[0].startswith(("2099", "1970"))}
    assert broken
    assert broken.isdisjoint(lines[0][1] for lines in orders)
    assert len(orders) > len(whole) * 0.8


def test_the_clock_of_a_host_is_wrong_while_its_service_runs(tmp_path: Path) -> None:
    clocks = HostClocks(tmp_path)
    environment = {**os.environ, **clocks.environment("till")}
    code = "import time\nwhile input() == '': print(time.time(), time.time_ns() / 1e9, flush=True); time.sleep(0.1)"
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as service:
        assert service.stdin
        assert service.stdout
        for off_s in (0, 3600, -7200, 0):
            clocks.set_off("till", off_s)
            time.sleep(0.1)
            service.stdin.write("\n")
            service.stdin.flush()
            for found in service.stdout.readline().split():
                assert abs(float(found) - time.time() - off_s) < 5
        service.stdin.close()
        service.kill()
