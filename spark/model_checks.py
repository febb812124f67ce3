"""Checks of a written model before it is published: the serving code loads it and recommends. No Spark.

The gate decides whether a configuration is good; these checks find damaged or incomplete models.
"""

import math
from collections.abc import Collection, Sequence

from recsys.answers import Answer
from recsys.catalogue import Filters
from recsys.evaluation.gate import ModelCheck
from recsys.model import Model, load_model
from recsys.model_format import InvalidModel, Manifest
from recsys.recommender import Recommender
from services.common.conditional_write import encode
from services.common.model_registry import folder_of, manifest_key
from services.common.object_store import ObjectStore

COVERED = 0.95
"""The share of the products sold in the last week that the catalogue must contain."""
CUSTOMERS = 20
ASKED_FOR = 10


class CandidateArtifact:
    """A model folder and its manifest, which is not written yet."""

    def __init__(self, store: ObjectStore, manifest: Manifest) -> None:
        self._store = store
        self._key = manifest_key(manifest.version)
        self._manifest = encode(manifest)

    def get(self, key: str, /) -> bytes:
        """An object of the folder. Raises NoSuchObject."""
        return self._manifest if key == self._key else self._store.get(key)


def checks(
    store: ObjectStore, manifest: Manifest, sold: Collection[str], customers: Sequence[str], now_ms: int
) -> list[ModelCheck]:
    """The results of all checks. `sold`: the last week's products; `customers`: a sample of the known ones.

    `now_ms`: the event-time watermark. Raises what the store raises.
    """
    version = manifest.version
    try:
        model = load_model(CandidateArtifact(store, manifest), folder_of(version).rstrip("/"), version)
    except InvalidModel as refused:
        return [ModelCheck("serving can load it", False, f"the recommender would refuse it: {refused}")]
    loaded = ModelCheck("serving can load it", True, f"{len(manifest.files)} files match the manifest")
    return [loaded, covers(model, sold), answers_well(model, customers, now_ms)]


def covers(model: Model, sold: Collection[str]) -> ModelCheck:
    """Whether the catalogue contains the products of the last week."""
    known = sum(model.catalogue.row(product) is not None for product in sold)
    passed = known >= COVERED * len(sold)
    return ModelCheck(
        "the catalogue covers the last week",
        passed,
        f"the catalogue knows {known:,} of the {len(sold):,} products sold in the last week",
    )


def answers_well(model: Model, customers: Sequence[str], now_ms: int) -> ModelCheck:
    """Whether known customers get valid recommendations."""
    recommender, name = Recommender(model, model.live_state()), "known customers get answers"
    for customer in customers:
        answer = recommender.for_user(customer, ASKED_FOR, Filters(), now_ms)
        # In a small shop a customer may have bought every product.
        holds = len(recommender.live.history(customer))
        if fault := fault_of(answer, left=holds < len(model.catalogue.product_ids)):
            return ModelCheck(name, False, f"customer {customer} gets {fault}")
    return ModelCheck(name, True, f"{len(customers)} customers get up to {ASKED_FOR} products each")


def fault_of(answer: Answer, left: bool) -> str | None:
    """What is wrong with an answer, or None. `left`: there are products that the customer has not bought."""
    products = [pick.product for pick in answer.picks]
    if left and not products:
        return "nothing"
    if len(set(products)) < len(products):
        return "a product twice"
    if not all(math.isfinite(pick.score) for pick in answer.picks):
        return "a score that is not a number"
    return None
