"""From answers to protobuf. Pure."""

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from services.recommender.model import Model
from services.recommender.recommend import Answer, Pick, Reason, Strategy

_STRATEGIES = {
    Strategy.PERSONAL: pb.STRATEGY_PERSONAL,
    Strategy.BASKET: pb.STRATEGY_BASKET,
    Strategy.POPULAR: pb.STRATEGY_POPULAR,
}


def write_answer(model: Model, answer: Answer, user_id: str = "") -> pb.RecommendResponse:
    """One answer, with the version of the model that gave it."""
    return pb.RecommendResponse(
        user_id=user_id,
        strategy=_STRATEGIES[answer.strategy],
        model_version=model.version,
        items=[write_item(model, pick) for pick in answer.picks],
        unknown_product_ids=answer.unknown_product_ids,
    )


def write_item(model: Model, pick: Pick) -> pb.Item:
    """One product with what the catalogue says of it."""
    catalogue, row = model.catalogue, pick.product
    return pb.Item(
        product_id=catalogue.product_ids[row],
        product_name=catalogue.names[row],
        category_code=catalogue.categories[row],
        brand=catalogue.brands[row],
        price_cents=catalogue.price(row),
        score=pick.score,
        reason=_reason(model, pick.reason),
    )


def _reason(model: Model, reason: Reason) -> pb.Reason:
    product_id = "" if reason.product is None else model.catalogue.product_ids[reason.product]
    return pb.Reason(code=reason.code.value, product_id=product_id, weight=reason.weight)
