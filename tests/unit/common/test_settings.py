"""What is said about settings that cannot be."""

from typing import Any, Self

import pytest
from pydantic import SecretStr, ValidationError, model_validator

from services.common.settings import (
    DeadLetterLimits,
    KafkaSettings,
    Port,
    RedisSettings,
    S3Settings,
    ServiceSettings,
    Settings,
    ShopSettings,
    explain,
)


class Shop(ServiceSettings, ShopSettings):
    """Settings with a rule of each kind."""

    metrics_port: Port = 9101
    other_port: Port = 9102
    token: SecretStr = SecretStr("")
    pin: int = 0

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port == self.other_port:
            raise ValueError("the ports are the same")
        return self


def explained(settings: type[Settings], **given: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        settings(**given)
    return explain(refused.value)


def test_every_mistake_is_named_by_its_variable_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_METRICS_PORT", "0")
    monkeypatch.setenv("TILLSTREAM_CURRENCY", "euro")
    said = explained(Shop)
    assert "\n" not in said
    first, second = sorted(said.split("; "))
    assert first.startswith("TILLSTREAM_CURRENCY: ")
    assert second == "TILLSTREAM_METRICS_PORT: Input should be greater than or equal to 1"


def test_a_rule_of_our_own_is_said_in_its_own_words() -> None:
    said = explained(Shop, time_zone="Mars/Olympus")
    assert said == "TILLSTREAM_TIME_ZONE: 'Mars/Olympus' is not an IANA time zone such as Europe/Berlin"


class Engines(KafkaSettings, RedisSettings, S3Settings):
    """Where the engines are."""


@pytest.mark.parametrize(
    ("setting", "wrong", "right"),
    [
        ("kafka_bootstrap", "broker", "one:9092,[::1]:9093"),
        ("kafka_bootstrap", "kafka://broker:9092", "b-1.shop.kafka.eu-central-1.amazonaws.com:9098"),
        ("redis_url", "127.0.0.1:6379", "rediss://shop:word@cache.example:6379/0"),
        ("redis_url", "http://:word@cache", "unix:///run/valkey.sock"),
        ("s3_endpoint", "store:8333", "https://store.example"),
    ],
)
def test_an_address_that_no_client_can_use_is_refused_at_start(setting: str, wrong: str, right: str) -> None:
    said = explained(Engines, **{setting: wrong})
    assert said.startswith(f"TILLSTREAM_{setting.upper()}: is not an address such as ")
    assert "word" not in said
    assert getattr(Engines.model_validate({setting: right}), setting) == right


def test_an_empty_endpoint_is_that_of_aws() -> None:
    assert S3Settings(s3_endpoint="").s3_endpoint is None


def test_a_rule_over_several_settings_speaks_for_itself() -> None:
    assert explained(Shop, metrics_port=7, other_port=7) == "the ports are the same"


def test_values_are_not_repeated() -> None:
    assert "hunter2" not in explained(Shop, pin="hunter2", token=["hunter2"])


LIMITS = ("dead_letters_max_consecutive", "dead_letters_max_ratio", "dead_letters_halt")
OLD_LIMITS = {"DEAD_LETTERS_RUN": "7", "DEAD_LETTERS_RATIO": "0.5", "DEAD_LETTERS_STOP": "true"}
NEW_LIMITS = {"DEAD_LETTERS_MAX_CONSECUTIVE": "8", "DEAD_LETTERS_MAX_RATIO": "0.25", "DEAD_LETTERS_HALT": "false"}


def limits(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> tuple[object, ...]:
    for name, value in variables.items():
        monkeypatch.setenv(f"TILLSTREAM_{name}", value)
    settings = DeadLetterLimits()
    return tuple(getattr(settings, name) for name in LIMITS)


def test_limits_are_set_by_their_variables_and_by_those_they_had_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, {}) == (100, 0.1, False)
    assert limits(monkeypatch, OLD_LIMITS) == (7, 0.5, True)
    assert limits(monkeypatch, NEW_LIMITS) == (8, 0.25, False), "with both set, the new one decides"


def test_limits_are_set_by_their_new_variables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, NEW_LIMITS | {"DEAD_LETTERS_HALT": "true"}) == (8, 0.25, True)


def test_a_wrong_limit_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_DEAD_LETTERS_RATIO", "2")
    assert explained(DeadLetterLimits).startswith("TILLSTREAM_DEAD_LETTERS_MAX_RATIO: ")
