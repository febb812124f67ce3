"""Substitutes, complements and variety on a file's purchases: `--task similar` of `python -m spark.evaluate`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.catalogue import Catalogue
from recsys.co_purchases import Neighbours
from recsys.evaluation.methods import CANDIDATES, DEFAULT, FactorCache
from recsys.evaluation.metrics import DayBootstrap, interval, values
from recsys.evaluation.product_facts import catalogue_at, read_facts
from recsys.evaluation.purchase_log import PurchaseLog
from recsys.evaluation.rolling import Answers, EvaluationProtocol
from recsys.evaluation.similar_products import Finder, ask, companions, same_category, substitutions
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.evaluation.variety_cost import Shown, categories_shown, evaluate_variety, with_alike_cards
from recsys.rotation import Rotation
from recsys.scorer import ComposedScorer
from recsys.substitutes import ProductLikeness, centred
from recsys.topk import Allowed, Float32s, Float64s, InnerProductIndex, Rows, unit_vectors
from recsys.variety import NONE, Variety, VarietyRanker
from services.common.times import format_time
from spark.step_log import StepLog

Json = dict[str, Any]
Range = tuple[float, float, float]
CANDIDATE_DAYS = 30
ALLOWED = "what the category tree allows"
SETTINGS = {
    "none": Shown(NONE),
    "no two alike": Shown(Variety()),
    **{f"no two alike, weight {weight:g}": Shown(Variety(weight)) for weight in (0.05, 0.1, 0.2, 0.4)},
    "no two alike, one of a category": Shown(Variety(same_category=1)),
    **{f"no two alike, rotation {number}": Shown(Variety(), Rotation(number)) for number in (2, 5, 10)},
}
_EARLIER_SHRINK = 100.0


@dataclass(frozen=True, slots=True)
class Shop:
    """What is known at the split."""

    view: TrainingView
    factors: Float32s
    catalogue: Catalogue
    likeness: ProductLikeness
    on_sale: Allowed
    categories: NDArray[np.int32]  # [products], -1 where unknown

    @property
    def ranker(self) -> VarietyRanker:
        """The re-ranking of its products."""
        return VarietyRanker(self.catalogue, self.likeness.vectors)

    @property
    def neighbours(self) -> Neighbours:
        """Customers in common, as of the split."""
        return Neighbours(self.view.co_purchases, 1, 1)

    @property
    def order_pairs(self) -> Neighbours:
        """Orders in common, as of the split."""
        return Neighbours(self.view.order_pairs, 1, 1)


def shop_at(log: PurchaseLog, split_ms: int, out: Path) -> Shop:
    """The state at a split, with factors of the first of the usual ALS settings."""
    view = view_at(log, split_ms)
    factors = FactorCache(out / "factors").factors(view, CANDIDATES[0])
    catalogue = catalogue_at(read_facts(out / "purchases"), view)
    vectors = centred(factors, len(catalogue))
    labels = catalogue.categories
    return Shop(
        view,
        factors,
        catalogue,
        ProductLikeness(catalogue, vectors, view.order_pairs, view.popularity()),
        view.live_state(()).on_sale(split_ms, CANDIDATE_DAYS),
        np.where(labels.codes == labels.unknown, -1, labels.codes).astype(np.int32),
    )


def run_similar(shop: Shop, until_ms: int, questions: int, out: Path, step_log: StepLog) -> Json:
    """Measure on the orders from the split to `until_ms` (epoch ms); gives what similar.json holds."""
    document: Json = {"split": format_time(shop.view.moment_ms), "until": format_time(until_ms)}
    lines = shop.view.last, shop.view.log.at(until_ms)
    with step_log.step("substitutes") as step:
        asked = substitutions(shop.view.log, shop.categories, *lines).sample(questions)
        answers = ask(asked, _substitutes(shop), shop.on_sale)
        shares = same_category(answers, asked.asked, shop.categories, shop.on_sale)
        document["substitutes"] = {**_figures(answers), "same category": _shares(answers, shares)}
        step.says(f"{len(asked):,} changes of a product")
    with step_log.step("complements") as step:
        asked = companions(shop.view.log, shop.categories, *lines).sample(questions)
        document["complements"] = _figures(ask(asked, _complements(shop), shop.on_sale))
        step.says(f"{len(asked):,} orders")
    with step_log.step("variety") as step:
        document["variety"] = _variety(shop, until_ms, questions)
        step.says(f"{document['variety']['questions']:,} orders of known customers")
    (out / "similar.json").write_text(json.dumps(document, indent=1))
    return document


def _substitutes(shop: Shop) -> dict[str, Finder]:
    return {
        "factors and co-purchases, half and half": _earlier(shop),
        "best sellers of the category": lambda product, k, allowed: _best_sellers(
            shop, allowed & (shop.categories == shop.categories[product]), k
        ),
        "substitutes": lambda product, k, allowed: shop.likeness.substitutes(product, k, allowed).ranked.rows,
    }


def _complements(shop: Shop) -> dict[str, Finder]:
    pairs = shop.order_pairs
    return {
        "factors and co-purchases, half and half": _earlier(shop),
        "best sellers": lambda product, k, allowed: _best_sellers(shop, allowed, k),
        "complements": lambda product, k, allowed: shop.likeness.complements(product, k, allowed, pairs).rows,
    }


def _earlier(shop: Shop) -> Finder:
    """Similar products as they were before substitutes and complements were apart."""
    products, neighbours = len(shop.catalogue), shop.neighbours
    vectors = np.zeros((products, shop.factors.shape[1]), np.float32)
    vectors[: len(shop.factors)] = unit_vectors(shop.factors)
    index = InnerProductIndex(vectors)

    def find(product: int, k: int, allowed: Allowed) -> Rows:
        together = np.zeros(products)
        rows, weights = neighbours.weights(product, _EARLIER_SHRINK, 0.5)
        together[rows] = 0.5 * weights
        ranked = index.top_k(np.float32(0.5) * index.vector(product), k, allowed, together)
        return ranked.rows[ranked.scores > 0]

    return find


def _best_sellers(shop: Shop, allowed: Allowed, k: int) -> Rows:
    rows = np.flatnonzero(allowed)
    sold = shop.view.popularity(CANDIDATE_DAYS)[rows]
    return rows[np.argsort(-sold, kind="stable")[:k]]


def _variety(shop: Shop, until_ms: int, questions: int) -> Json:
    view = shop.view
    scorer = ComposedScorer(view.trained_parts(shop.factors, CANDIDATES[0], view.popularity()), DEFAULT)
    orders = len(np.unique(view.log.orders[view.last : view.log.at(until_ms)]))
    protocol = EvaluationProtocol(who="warm", sample=min(1.0, questions / max(orders, 1)))
    answers = evaluate_variety(view, until_ms, scorer, shop.ranker, SETTINGS, protocol)
    figures = _figures(answers)
    alike, categories = with_alike_cards(answers, shop.catalogue), categories_shown(answers, shop.catalogue)
    for place, each in enumerate(figures["methods"].values()):
        each["alike"], each["categories"] = round(float(alike[place]), 4), round(float(categories[place]), 3)
    return figures


def _figures(answers: Answers) -> Json:
    """Hit rate and NDCG with 95 % intervals (bootstrap over days), and the hit rate over that of the first method.

    No methods where nothing could be asked, as in a shop whose orders have one product each.
    """
    if not len(answers):
        return {"questions": 0, "methods": {}}
    found, blocks = values(answers), DayBootstrap(answers.at_ms)
    first = found["hr@3"][0]
    methods = {}
    for place, name in enumerate(answers.methods):
        hits = found["hr@3"][place]
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample without a hit has no ratio
            ratio = blocks.means(hits) / blocks.means(first)
        methods[name] = {
            "hr@3": _interval(hits, blocks),
            "ndcg@10": _interval(found["ndcg@10"][place], blocks),
            "ratio": _rounded(float(hits.mean() / max(first.mean(), 1e-12)), ratio),
        }
    return {"questions": len(answers), "methods": methods}


def _shares(answers: Answers, shares: Float64s) -> Json:
    if not len(answers):
        return {}
    blocks = DayBootstrap(answers.at_ms)
    return {name: _interval(each, blocks) for name, each in zip((*answers.methods, ALLOWED), shares, strict=True)}


def _interval(each: Float64s, blocks: DayBootstrap) -> Range:
    return _rounded(float(each.mean()), blocks.means(each))


def _rounded(value: float, resampled: Float64s) -> Range:
    found = interval(value, resampled)
    return round(found.value, 4), round(found.low, 4), round(found.high, 4)
