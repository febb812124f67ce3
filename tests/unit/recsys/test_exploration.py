"""Exploration: the last place of a share of the answers shows a product that nobody has bought yet."""

from dataclasses import replace

import pytest

from recsys.answers import Answer, ReasonCode
from recsys.catalogue import Filters, Listing
from recsys.decayed_counts import DAY_MS
from recsys.exploration import NO_EXPLORATION, Exploration
from recsys.listings import Listings
from recsys.live_state import Purchase
from recsys.model import load_model
from recsys.recommender import Recommender
from recsys.score_weights import DecayTerm, ScoreWeights
from tests.support.models import CUT_OFF_MS, MODELS, Objects, checkerboard, publish

WEIGHTS = ScoreWeights(
    factors=0.3, popularity=0.02, live=0.03, neighbours=0.5, trends=(DecayTerm(24.0, 1.0),), shrink=1.0
)
NEW = ("new1", "new2", "new3")
ANY = Filters()


class Board:
    """A shop of eight products that sell, and some that nobody has bought."""

    def __init__(self, exploration: Exploration, new: tuple[str, ...] = NEW) -> None:
        spec = replace(checkerboard(size=8), composition=WEIGHTS)
        store = Objects()
        publish(store, spec)
        self.model = load_model(store, f"{MODELS}/{spec.version}", spec.version, spare=8)
        self.listings = Listings(unsold=4)
        for _ in self.listings.attach(spec.version, self.model.catalogue, self.model.scorer.categories):
            pass
        for product_id in new:
            self.listings.put(product_id, Listing(category=self.model.catalogue.categories[0], brand="acme"))
        self.recommender = Recommender(self.model, self.model.live_state(), exploration=exploration)

    def answer(self, user: str = "u00", k: int = 3, filters: Filters = ANY, now_ms: int = CUT_OFF_MS) -> Answer:
        return self.recommender.for_user(user, k, filters, now_ms)

    def shown(self, answer: Answer) -> list[str]:
        return [self.model.catalogue.product_ids[pick.product] for pick in answer.picks]


def test_the_last_place_shows_a_new_product_and_the_others_stay() -> None:
    board, still = Board(Exploration(1.0)), Board(NO_EXPLORATION)
    for number in range(8):
        found, best = board.answer(f"u{number:02d}"), still.answer(f"u{number:02d}")
        assert found.picks[:-1] == best.picks[:-1]
        assert board.shown(found)[-1] in NEW
        assert found.picks[-1].reason.code is ReasonCode.NEW
        assert found.strategy == best.strategy


def test_it_is_the_same_for_a_customer_s_day_on_every_replica_and_another_later() -> None:
    one, other = Board(Exploration(1.0)), Board(Exploration(1.0))
    midnight = CUT_OFF_MS - CUT_OFF_MS % DAY_MS
    days = [midnight + day * DAY_MS for day in range(12)]
    of_days = [one.answer(now_ms=now_ms) for now_ms in days]
    assert [other.answer(now_ms=now_ms + DAY_MS - 1) for now_ms in days] == of_days
    assert len({one.shown(answer)[-1] for answer in of_days}) > 1


def test_the_share_is_of_customers_and_days() -> None:
    exploration = Exploration(0.25)
    drawn = [exploration.includes(f"u{user}", day * DAY_MS) for user in range(40) for day in range(50)]
    assert 0.2 < sum(drawn) / len(drawn) < 0.3
    assert {exploration.includes("ann", day * DAY_MS) for day in range(40)} == {True, False}
    assert not any(NO_EXPLORATION.includes(f"u{user}", 0) for user in range(100))


@pytest.mark.parametrize(
    ("user", "k", "filters"),
    [("u00", 1, ANY), ("nobody", 3, ANY), ("u00", 3, Filters(brand="none such")), ("u00", 3, Filters(exclude=NEW))],
    ids=["one place", "unknown customer", "filter", "excluded"],
)
def test_answers_without_a_place_for_it_stay(user: str, k: int, filters: Filters) -> None:
    board, still = Board(Exploration(1.0)), Board(NO_EXPLORATION)
    assert board.answer(user, k, filters) == still.answer(user, k, filters)


def test_what_is_sold_or_withheld_is_new_no_more() -> None:
    board = Board(Exploration(1.0), new=("new1",))
    assert board.shown(board.answer())[-1] == "new1"
    board.listings.put("new1", Listing(available=False))
    assert "new1" not in board.shown(board.answer())
    board.listings.put("new1", Listing(category=board.model.catalogue.categories[0]))
    row = board.model.catalogue.row("new1")
    assert row is not None
    board.recommender.live.apply(Purchase("u05", row, 1, CUT_OFF_MS))
    codes = {pick.reason.code for pick in board.answer(now_ms=CUT_OFF_MS + 1_000).picks}
    assert ReasonCode.NEW not in codes


def test_an_answer_that_reaches_the_new_products_anyway_stays() -> None:
    board, still = Board(Exploration(1.0)), Board(NO_EXPLORATION)
    assert board.answer(k=100) == still.answer(k=100)
    assert set(NEW) <= set(board.shown(board.answer(k=100)))
