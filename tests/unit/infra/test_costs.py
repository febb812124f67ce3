"""The page of costs is that of the model."""

from infra import costs


def test_the_page_is_up_to_date() -> None:
    assert costs.PAGE.read_text() == costs.page(), "run `python -m infra costs`"


def test_what_grows_with_events_costs_next_to_nothing_without_any() -> None:
    assert costs.job(0) == 0
    assert costs.bucket(0) == 0
    assert costs.firehose(0) < 20  # the connection to MSK


def test_the_archiver_is_cheaper_from_some_thousand_events_on() -> None:
    assert costs.archiver(5_000) < costs.firehose(5_000) / 10
