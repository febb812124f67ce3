"""`python -m spark.evaluate` on a small file, Spark included: from rows to the report."""

import csv
import json
from pathlib import Path

import pytest

from recsys.evaluation.methods import COMPOSED
from services.common.times import format_time
from services.producer.source import REQUIRED
from spark.evaluate import main
from tests.support.evaluation_methods import BASELINE_NAMES
from tests.support.purchase_log import two_worlds

SPLIT = "2020-10-12"  # day 28 of the log


def write_shop(file: Path) -> None:
    """Two worlds as a file in the seed layout, its rows in no order, one of them a dead letter."""
    log = two_worlds(250, seed=5)
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(REQUIRED)
        rows.writerow(["1970-01-01 00:33:40 UTC", "bad", "p000", "", "", "", "1.00", "u0001"])
        for line in sorted(range(len(log)), key=lambda line: int(log.rows[line])):
            row = int(log.rows[line])
            time = format_time(int(log.at_ms[line]))
            world = f"world{row // 20}"
            rows.writerow([time, f"o{log.orders[line]}", log.products[row], "", world, "", "1.00", log.user(line)])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shop") / "shop.csv"
    write_shop(file)
    return file


def evaluate(shop: Path, out: Path, *more: str) -> int:
    return main(
        ["--csv", str(shop), "--out", str(out), "--split", SPLIT, "--validation-days", "8", "--candidates", "0", *more]
    )


def test_from_rows_to_the_report(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLSTREAM_SPARK_MASTER", "local[1]")
    monkeypatch.setenv("TILLSTREAM_SPARK_DRIVER_MEMORY", "1g")
    monkeypatch.setenv("TILLSTREAM_SPARK_DIR", str(tmp_path / "spark"))
    assert evaluate(shop, tmp_path / "out", "--until", "choose") == 0
    assert "1,001 rows, 1 rejected" in capsys.readouterr().err
    assert not (tmp_path / "out" / "looks.json").exists(), "nothing after the split has been looked at"

    assert evaluate(shop, tmp_path / "out") == 0
    shown = capsys.readouterr()
    assert "already imported" in shown.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["split"], metrics["looks"]) == ("2020-10-12T00:00:00Z", 1)
    warm = metrics["rolling"]["warm"]["methods"]
    assert set(warm) == {COMPOSED, *BASELINE_NAMES}
    assert warm[COMPOSED]["hr@3"][0] > 1.1 * warm["popularity, live"]["hr@3"][0]
    assert set(metrics["seconds"]) == {"import", "choose", "rolling", "static", "repeats"}
    assert "Would our recommendations have been bought?" in (tmp_path / "out" / "report.html").read_text()
    assert f"rolling, warm: {metrics['rolling']['warm']['questions']} questions" in shown.out

    assert evaluate(shop, tmp_path / "out", "--task", "baskets") == 1
    assert "has two products or more" in capsys.readouterr().err

    assert evaluate(shop, tmp_path / "out", "--split", "2020-10-13") == 1
    assert "was chosen for a split at 2020-10-12" in capsys.readouterr().err
