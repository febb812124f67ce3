"""Answers as protobuf: what a reason says."""

import pytest

from recsys.answers import Answer, Pick, Reason, ReasonCode, Strategy
from recsys.model import load_model
from services.recommender.responses import Source, write_answer
from tests.support.models import MODELS, VERSION, Objects, checkerboard, publish, without_stream


@pytest.mark.parametrize("orders", [312, None])
def test_a_reason_has_the_number_of_orders_where_it_comes_from_orders(orders: int | None) -> None:
    store = Objects()
    publish(store, checkerboard())
    served = without_stream(load_model(store, f"{MODELS}/{VERSION}", VERSION))
    reason = Reason(ReasonCode.BOUGHT_TOGETHER, 0.5, 1, orders)
    (item,) = write_answer(Source(served, "main", 0), Answer(Strategy.BASKET, (Pick(0, 0.5, reason),))).items
    assert (item.reason.code, item.reason.product_id) == ("bought_together", served.model.catalogue.product_ids[1])
    assert (item.reason.orders if item.reason.HasField("orders") else None) == orders
