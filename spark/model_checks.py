"""A model is looked at before it may serve: loaded by the very code that serves, and asked. No Spark.

Whether a recipe is good the gate has said; here is only found out whether what was written is what it should be.
"""

import math
from collections.abc import Collection, Sequence

from recsys.catalogue import Filters
from recsys.evaluation.gate import ModelCheck
from recsys.model import Model, load_model
from recsys.model_format import InvalidModel, Manifest
from recsys.recommender import Answer, Recommender
from services.common.conditional_write import encode
from services.common.model_registry import folder_of, manifest_key
from services.common.object_store import ObjectStore

COVERED = 0.95
"""The share of the products sold in the last week that the catalogue must know."""
CUSTOMERS = 20
ASKED_FOR = 10


class CandidateArtifact:
    """A model's folder together with the manifest that it is about to get."""

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
    """What is found when serving loads the folder: `sold` are the last week's products, `customers` some known ones.

    `now_ms` is the newest event's time. Raises what the store raises.
    """
    version = manifest.version
    try:
        model = load_model(CandidateArtifact(store, manifest), folder_of(version).rstrip("/"), version)
    except InvalidModel as refused:
        return [ModelCheck("serving can load it", False, f"the recommender would refuse it: {refused}")]
    loaded = ModelCheck("serving can load it", True, f"{len(manifest.files)} files as the manifest has them")
    return [loaded, covers(model, sold), answers_well(model, customers, now_ms)]


def covers(model: Model, sold: Collection[str]) -> ModelCheck:
    """Whether the catalogue knows what was sold lately."""
    known = sum(model.catalogue.row(product) is not None for product in sold)
    passed = known >= COVERED * len(sold)
    return ModelCheck(
        "the catalogue covers the last week",
        passed,
        f"the catalogue knows {known:,} of the {len(sold):,} products sold in the last week",
    )


def answers_well(model: Model, customers: Sequence[str], now_ms: int) -> ModelCheck:
    """Whether known customers get what an answer should be."""
    recommender, name = Recommender(model, model.live_state()), "known customers get answers"
    for customer in customers:
        answer = recommender.for_user(customer, ASKED_FOR, Filters(), now_ms)
        # A customer of a small shop may have bought all there is.
        holds = len(recommender.live.history(customer))
        if fault := fault_of(answer, left=holds < len(model.catalogue.product_ids)):
            return ModelCheck(name, False, f"customer {customer} gets {fault}")
    return ModelCheck(name, True, f"{len(customers)} customers get up to {ASKED_FOR} products each")


def fault_of(answer: Answer, left: bool) -> str | None:
    """What is wrong with an answer; `left`: there are products that the customer does not have."""
    products = [pick.product for pick in answer.picks]
    if left and not products:
        return "nothing"
    if len(set(products)) < len(products):
        return "a product twice"
    if not all(math.isfinite(pick.score) for pick in answer.picks):
        return "a score that is not a number"
    return None
