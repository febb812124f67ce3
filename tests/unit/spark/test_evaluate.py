"""The evaluation's command line where it ends before any work."""

from pathlib import Path

import pytest

from spark.evaluate import DamagedChoice, kept_choice, main


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("import", "choose", "rolling", "static", "looks.json", "Exit status"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--csv", "x.csv", "--split", "yesterday"],
        ["--csv", "x.csv", "--until", "x"],
        ["--csv", "x.csv", "--als", "8:1"],
        ["--csv", "x.csv", "--als", "8:0:40"],
        ["--csv", "x.csv", "--als", "x:1:40"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_a_wrong_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLSTREAM_SPARK_DRIVER_MEMORY", "lots")
    assert main(["--csv", "x.csv", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: TILLSTREAM_SPARK_DRIVER_MEMORY")


@pytest.mark.parametrize("text", ["{", "{}", '{"als": {"rank": "many"}}'])
def test_a_damaged_choice_names_its_file(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "choice.json"
    kept.write_text(text)
    with pytest.raises(DamagedChoice, match=rf"{kept} is damaged .*: delete it"):
        kept_choice(kept)
