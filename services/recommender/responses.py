"""Converts answers to protobuf. Pure."""

from dataclasses import dataclass

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from recsys.answers import Answer, Pick, Reason, Related, Strategy
from recsys.basket_weights import describe_basket
from recsys.model import Model
from recsys.score_weights import describe
from services.recommender.serving import ServedVariant, Serving, ServingModel

_STRATEGIES = {
    Strategy.PERSONAL: pb.STRATEGY_PERSONAL,
    Strategy.BASKET: pb.STRATEGY_BASKET,
    Strategy.POPULAR: pb.STRATEGY_POPULAR,
}


@dataclass(frozen=True, slots=True)
class Source:
    """Which model gave an answer, as which variant, and when (epoch ms)."""

    served: ServingModel
    variant: str
    now_ms: int


def write_answer(source: Source, answer: Answer, user_id: str = "") -> pb.RecommendResponse:
    """One answer, with the model that gave it and the age of its state."""
    model = source.served.model
    return pb.RecommendResponse(
        user_id=user_id,
        strategy=_STRATEGIES[answer.strategy],
        model_version=model.version,
        items=[_item(model, pick) for pick in answer.picks],
        unknown_product_ids=answer.unknown_product_ids,
        variant=source.variant,
        state_age_ms=source.served.age_ms(source.now_ms),
    )


def write_related(source: Source, related: Related) -> pb.SimilarItemsResponse:
    """Substitutes and complements."""
    model = source.served.model
    return pb.SimilarItemsResponse(
        model_version=model.version,
        items=[_item(model, pick) for pick in related.substitutes],
        complements=[_item(model, pick) for pick in related.complements],
        variant=source.variant,
        state_age_ms=source.served.age_ms(source.now_ms),
    )


def write_model(serving: Serving, now_ms: int) -> pb.GetModelResponse:
    """What is being served, A/B variants included."""
    response = pb.GetModelResponse(variants=[_variant(variant, now_ms) for variant in serving.variants])
    if (served := serving.main) is not None:
        model = served.model
        response.model_version, response.verdict = model.version, model.gate.verdict
        response.users, response.items, response.rank = model.users, model.items, model.rank
        response.trained_at_ms, response.loaded_at_ms = model.created_at_ms, served.loaded_at_ms
        response.composition = _composition(model)
        response.masks_bought = model.weights.mask_bought
        if (age_ms := served.age_ms(now_ms)) is not None:
            response.state_age_ms = age_ms
    if serving.refusal is not None:
        response.refused_version, response.refused_reason = serving.refusal.version, serving.refusal.reason
    return response


def _composition(model: Model) -> str:
    """The weights of customers and of baskets, in words."""
    return describe(model.weights) + (f"; for baskets: {describe_basket(model.basket)}" if model.basket else "")


def _variant(variant: ServedVariant, now_ms: int) -> pb.Variant:
    return pb.Variant(
        name=variant.name,
        weight=variant.weight,
        model_version=variant.version,
        state_age_ms=variant.served.age_ms(now_ms) if variant.served else None,
        refused_reason=variant.refusal.reason if variant.refusal else "",
    )


def _item(model: Model, pick: Pick) -> pb.Item:
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
    return pb.Reason(
        code=reason.code.value, product_id=product_id, weight=reason.weight, orders=reason.orders, also=reason.also
    )
