"""The batch job's settings, names and command line, without Spark running."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr, ValidationError

from services.common.calendar import bucket_time
from services.common.settings import S3Settings
from spark.__main__ import main, spark_reason
from spark.jars import JarsMissing, connector_jars
from spark.session import local_conf, make_folders, s3a_conf, s3a_keys, session_conf
from spark.settings import JobSettings
from spark.versions import new_version

NOW_MS = 1_700_000_000_123


def test_versions_sort_by_time_and_differ_within_a_second() -> None:
    versions = {new_version(NOW_MS) for _ in range(50)}
    assert all(re.fullmatch(r"20231114T221320Z-[0-9a-f]{6}", version) for version in versions)
    assert len(versions) > 1
    assert max(versions) < new_version(NOW_MS + 1000)


@pytest.mark.parametrize(
    ("zone", "start", "text"),
    [
        ("UTC", 1585699200, "2020-04-01T00:00:00Z"),
        ("Europe/Berlin", 1585692000, "2020-04-01T00:00:00+02:00"),
        ("Asia/Kolkata", 1585679400, "2020-04-01T00:00:00+05:30"),
        # The hour that the end of summer time repeats.
        ("Europe/Berlin", 1603584000, "2020-10-25T02:00:00+02:00"),
        ("Europe/Berlin", 1603587600, "2020-10-25T02:00:00+01:00"),
    ],
)
def test_a_bucket_starts_in_the_shops_zone(zone: str, start: int, text: str) -> None:
    assert bucket_time(start, ZoneInfo(zone)) == text


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_ALS_RANK", "8")
    monkeypatch.setenv("TILLSTREAM_S3_BUCKET", "shop")
    monkeypatch.setenv("TILLSTREAM_TIME_ZONE", "Europe/Berlin")
    settings = JobSettings()
    assert (settings.als.rank, settings.s3_bucket, settings.time_zone) == (8, "shop", "Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("als_rank", 0),
        ("als_regularisation", float("nan")),
        ("als_alpha", -1),
        ("spark_driver_memory", "lots"),
        ("archive_prefix", "raw"),
        ("time_zone", "Mars/Olympus"),
    ],
)
def test_senseless_settings_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        JobSettings(**{name: value})  # type: ignore[arg-type]


def test_the_figures_depend_on_explicit_settings_of_spark() -> None:
    conf = session_conf(JobSettings(time_zone="Europe/Berlin"))
    assert conf["spark.sql.ansi.enabled"] == "true"
    assert conf["spark.sql.session.timeZone"] == "Europe/Berlin"


def test_an_own_endpoint_is_reached_by_path_and_with_its_keys() -> None:
    s3 = S3Settings(s3_endpoint="http://127.0.0.1:8333", s3_access_key="key", s3_secret_key=SecretStr("secret"))
    conf = s3a_conf(s3)
    assert conf["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:8333"
    assert conf["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert conf["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "false"
    assert "secret" not in conf.values(), "these are arguments of the JVM"
    assert s3a_keys(s3)["fs.s3a.secret.key"] == "secret"


def test_aws_is_reached_with_its_own_address_and_credentials() -> None:
    assert s3a_conf(S3Settings()) == {"spark.hadoop.fs.s3a.endpoint.region": "eu-central-1"}
    assert s3a_keys(S3Settings()) == {}


def test_buffers_for_uploads_need_no_program_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "hadoop-aws-1.jar").touch()
    settings = JobSettings(spark_jars=tmp_path, spark_dir=tmp_path / "scratch")
    make_folders(settings)
    assert Path(local_conf(settings)["spark.hadoop.fs.s3a.buffer.dir"]).is_dir()


def test_a_local_session_stays_on_loopback_and_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "hadoop-aws-1.jar").touch()
    conf = local_conf(JobSettings(spark_jars=tmp_path, spark_dir=tmp_path / "scratch"))
    assert conf["spark.driver.bindAddress"] == conf["spark.driver.host"] == "127.0.0.1"
    assert conf["spark.ui.enabled"] == "false"
    assert conf["spark.local.dir"] == str(tmp_path / "scratch")
    assert conf["spark.jars"] == str(tmp_path / "hadoop-aws-1.jar")


def test_sparks_words_are_found_behind_py4js() -> None:
    error = RuntimeError("An error occurred while calling o1.fit.\n: org.apache.spark.SparkException: no\n\tat x.y(Z)")
    assert spark_reason(error) == "org.apache.spark.SparkException: no"
    assert spark_reason(RuntimeError("[PATH_NOT_FOUND] a path\nmore")) == "[PATH_NOT_FOUND] a path"


def test_missing_jars_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(JarsMissing, match="python -m spark jars"):
        connector_jars(tmp_path / "nowhere")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("curate", "report", "train", "publish", "spark-submit", "Exit status"))


def test_a_wrong_setting_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLSTREAM_ALS_RANK", "many")
    assert main(["run"]) == 2
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("TILLSTREAM_ALS_RANK: ")
    assert "\n" not in shown
