"""Recommendations from the recommender, or bestsellers while it is unavailable: there is always a response."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import islice
from typing import Any

import msgspec
from prometheus_client import Counter

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from services.common.categories import UNKNOWN
from services.common.metrics import GATEWAY_RECOMMENDATIONS
from services.common.money import format_cents
from services.common.redis_client import REDIS_ERRORS
from services.common.tables import Figures
from services.gateway.api.presence import Turnstile
from services.gateway.queries.entities import Product, described, read_product, read_purchased
from services.gateway.queries.shards import LiveTables
from services.gateway.upstreams.bestsellers import Bestseller, BestsellerCache, top_k
from services.gateway.upstreams.catalogue import ShopCatalogue
from services.gateway.upstreams.recommender_client import (
    PRODUCTS_PER_CALL,
    Filters,
    RecommenderClient,
    RecommenderUnavailable,
    ServingModelPoller,
    UnknownProduct,
)

logger = logging.getLogger(__name__)

# A response as plain JSON values, in the shape of `Recommendations`. This is the hot path, so it is encoded
# without building the pydantic model; the contract tests validate it against the model.
Json = dict[str, Any]
# Product id → where its picture is.
Images = Callable[[str], str | None]
_encode = msgspec.json.Encoder().encode

FALLBACK = "popular_fallback"
_POPULAR = "popular"
NOTHING_FITS = "no product passes these filters"
NOTHING_SOLD = "there are no purchases yet, so there are no popular products"

# Of one call: more customers, or more products, would keep the event loop for longer than some ten milliseconds.
_CUSTOMERS_PER_CALL = 100
# A batch that takes longer gets popular products for the rest of its customers.
_BATCH_SECONDS = 8.0
# Batches of several calls that are answered at the same time, and that wait: each holds up to 24 MB.
_LARGE_BATCHES = 2
_LARGE_BATCHES_WAITING = 8

_STRATEGIES: Mapping[int, str] = {
    pb.STRATEGY_PERSONAL: "personal",
    pb.STRATEGY_BASKET: "basket",
    pb.STRATEGY_POPULAR: "popular",
}


class RecommendationsWithFallback:
    """Recommendations for customers, baskets and products. An unavailable recommender is never an error."""

    def __init__(
        self,
        client: RecommenderClient,
        model: ServingModelPoller,
        bestsellers: BestsellerCache,
        tables: LiveTables,
        catalogue: ShopCatalogue,
    ) -> None:
        self._client = client
        self._model = model
        self._bestsellers = bestsellers
        self._tables = tables
        self._catalogue = catalogue
        self._images = catalogue.image_url
        self._large_batches = Turnstile(_LARGE_BATCHES, _LARGE_BATCHES_WAITING, "too many large batches wait")

    @property
    def answering(self) -> bool:
        """Whether the recommender answered the last call; before the first one, yes."""
        return self._client.answering

    async def for_customer(self, user_id: str, k: int, filters: Filters) -> bytes:
        """The k products for one customer, as JSON."""
        try:
            answer = _recommendations(user_id, await self._client.recommend(user_id, k, filters), self._images)
        except (RecommenderUnavailable, UnknownProduct) as error:
            answer = await self._fallback(user_id, k, filters, error)
        return _encode(_counted(answer))

    async def for_customers(self, user_ids: Sequence[str], k: int, filters: Filters) -> AsyncIterator[Json]:
        """The same for many customers, in their order. Parts of them leave the event loop to other requests.

        The first part without an answer from the recommender ends the questions to it. Raises Problem 503 where too
        many large batches wait.
        """
        parts = list(_parts(user_ids, k))
        async with self._large_batches if len(parts) > 1 else nullcontext():
            ask_until = time.monotonic() + _BATCH_SECONDS
            asking = True
            for part in parts:
                answers = await self._from_recommender(part, k, filters) if asking else None
                asking = answers is not None and time.monotonic() < ask_until
                for answer in answers or await self._popular(part, k, filters):
                    yield _counted(answer)
                await asyncio.sleep(0)

    async def _from_recommender(self, user_ids: Sequence[str], k: int, filters: Filters) -> list[Json] | None:
        try:
            results = await self._client.recommend_batch(user_ids, k, filters)
        except (RecommenderUnavailable, UnknownProduct) as error:
            logger.debug("fallback to bestsellers: %s", error)
            return None
        return [_recommendations(user, result, self._images) for user, result in zip(user_ids, results, strict=True)]

    async def _popular(self, user_ids: Sequence[str], k: int, filters: Filters) -> list[Json]:
        entries = await self._bestsellers.offered()
        fitting = top_k(entries, len(entries), filters, ())
        excluded = await self._purchased(user_ids) if self._masks_bought(filters) else [()] * len(user_ids)
        encoded = cache(lambda place: msgspec.Raw(msgspec.json.encode(_popular_item(fitting[place], self._images))))
        answers = []
        for user_id, ignored in zip(user_ids, excluded, strict=True):
            places = (place for place, entry in enumerate(fitting) if entry[0].product_id not in ignored)
            items = [encoded(place) for place in islice(places, k)]
            answers.append(_popular_answer(user_id, items, anything_sold=bool(entries)))
        return answers

    async def for_basket(self, product_ids: Sequence[str], k: int, filters: Filters) -> Json:
        """The k products for an anonymous basket."""
        try:
            found = await self._client.recommend_for_items(product_ids, k, filters)
            answer = _recommendations(None, found, self._images)
        except (RecommenderUnavailable, UnknownProduct) as error:
            answer = await self._fallback(None, k, filters, error, product_ids)
        return _counted(answer)

    async def similar(self, product_id: str, k: int) -> Json | None:
        """The k substitutes and the k complements of one product.

        While the recommender is unavailable, bestsellers of its category take the place of substitutes.

        None where neither the model nor the live tables nor the catalogue know the product.
        """
        try:
            found = await self._client.similar_items(product_id, k)
        except (RecommenderUnavailable, UnknownProduct) as error:
            product = await self._product(product_id)
            return await self._bestsellers_in_category_of(product, k, error) if product else None
        return _counted(
            {
                "product_id": product_id,
                "strategy": _strategy_of(found),
                "model_version": found.model_version or None,
                **_provenance(found),
                "items": [_related_item(item, self._images) for item in found.items],
                "complements": [_related_item(item, self._images) for item in found.complements],
                "message": None,
            }
        )

    async def _product(self, product_id: str) -> Product | None:
        """A product that was sold or that the catalogue knows, as the catalogue describes it."""
        sold = await read_product(self._tables.reader, product_id)
        if sold is None and self._catalogue.get(product_id) is None:
            return None
        return self._catalogue.described(sold or Product(product_id, Figures(), None))

    async def _bestsellers_in_category_of(self, product: Product, k: int, error: Exception) -> Json:
        filters = Filters(category=product.facts.category_code if product.facts else None)
        answer = await self._fallback(None, k, filters, error, [product.product_id])
        kept = ("strategy", "model_version", "variant", "state_age_ms", "items", "message")
        return _counted({"product_id": product.product_id, **{name: answer[name] for name in kept}, "complements": []})

    async def _fallback(
        self, user_id: str | None, k: int, filters: Filters, error: Exception, excluded: Collection[str] = ()
    ) -> Json:
        logger.debug("fallback to bestsellers: %s", error)
        entries = await self._bestsellers.offered()
        if user_id is not None and self._masks_bought(filters):
            (excluded,) = await self._purchased([user_id])
        items = [_popular_item(entry, self._images) for entry in top_k(entries, k, filters, excluded)]
        return _popular_answer(user_id, items, anything_sold=bool(entries))

    def _masks_bought(self, filters: Filters) -> bool:
        asked = filters.exclude_purchased
        return self._model.masks_bought if asked is None else asked

    async def _purchased(self, user_ids: Sequence[str]) -> Sequence[Collection[str]]:
        try:
            return await read_purchased(self._tables.reader, user_ids)
        except REDIS_ERRORS:
            return [()] * len(user_ids)


def _parts(user_ids: Sequence[str], k: int) -> Iterator[Sequence[str]]:
    size = max(1, min(_CUSTOMERS_PER_CALL, PRODUCTS_PER_CALL // k))
    return (user_ids[start : start + size] for start in range(0, len(user_ids), size))


@cache
def _answers_by(strategy: str) -> Counter:
    """Looked up once: that takes longer than counting."""
    return GATEWAY_RECOMMENDATIONS.labels(strategy)


def _counted(answer: Json) -> Json:
    _answers_by(answer["strategy"]).inc()
    return answer


def _recommendations(user_id: str | None, response: pb.RecommendResponse, images: Images) -> Json:
    items = [_item(item, images) for item in response.items]
    return {
        "user_id": user_id,
        "strategy": _STRATEGIES.get(response.strategy, "popular"),
        "model_version": response.model_version or None,
        **_provenance(response),
        "items": items,
        "message": None if items else NOTHING_FITS,
        "unknown_product_ids": list(response.unknown_product_ids) or None,
    }


def _provenance(response: pb.RecommendResponse | pb.SimilarItemsResponse) -> Json:
    """Which variant answered, and the age of what it has read of the purchase stream."""
    return {
        "variant": response.variant or None,
        "state_age_ms": response.state_age_ms if response.HasField("state_age_ms") else None,
    }


def _item(item: pb.Item, images: Images) -> Json:
    reason = item.reason
    return {
        "product_id": item.product_id,
        # As `described`, written out: 0.4 µs less of 2.7 µs, for each of up to 100,000 items of a batch.
        "product_name": item.product_name or UNKNOWN,
        "category_code": item.category_code or UNKNOWN,
        "brand": item.brand or UNKNOWN,
        "price": format_cents(item.price_cents) if item.HasField("price_cents") else None,
        "image_url": images(item.product_id),
        "score": item.score,
        "reason": {
            "code": reason.code or "popular",
            "product_id": reason.product_id or None,
            "weight": reason.weight,
            "orders": reason.orders if reason.HasField("orders") else None,
        },
    }


def _related_item(item: pb.Item, images: Images) -> Json:
    """A substitute or a complement: an item with all its reasons."""
    written = _item(item, images)
    written["reason"]["also"] = list(item.reason.also)
    return written


def _strategy_of(found: pb.SimilarItemsResponse) -> str:
    only_popular = found.items and all(item.reason.code == _POPULAR for item in found.items)
    return "popular" if only_popular else "similar"


def _popular_answer(user_id: str | None, items: Sequence[Any], *, anything_sold: bool) -> Json:
    return {
        "user_id": user_id,
        "strategy": FALLBACK,
        "model_version": None,
        "variant": None,
        "state_age_ms": None,
        "items": items,
        "message": None if items else NOTHING_FITS if anything_sold else NOTHING_SOLD,
        "unknown_product_ids": None,
    }


def _popular_item(entry: Bestseller, images: Images) -> Json:
    product, revenue_share = entry
    facts = product.facts
    return {
        "product_id": product.product_id,
        **described(facts),
        "price": format_cents(facts.price) if facts else None,
        "image_url": images(product.product_id),
        "score": revenue_share,
        "reason": {"code": "popular", "product_id": None, "weight": revenue_share, "orders": None},
    }
