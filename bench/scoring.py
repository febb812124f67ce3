"""Time of one recommendation in memory: `python -m bench.scoring [--users N] [--items N] [--rank N] [--alike]`.

Random factors of the electronics shop's size, and of lengths as its trained factors have: half of the products less
than a thirtieth of the longest. With --alike all have about the same length, the worst case: no bound excludes a
product. It times whole answers, and for comparison a full argsort of all scores, as most examples do it. CPU time
of one thread.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from recsys.answers import Answer
from recsys.catalogue import Catalogue, Filters, Labels, ProductColumns
from recsys.category_affinity import Categories
from recsys.co_purchases import CoPurchases, no_co_purchases
from recsys.decayed_counts import DAY_MS
from recsys.fold_in import FoldIn
from recsys.live_state import Purchase
from recsys.model import InitialState, Model
from recsys.model_format import Gate, Training
from recsys.purchase_history import PastPurchases
from recsys.recommender import Recommender
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts
from recsys.substitutes import ProductLikeness, centred
from recsys.topk import Float32s
from recsys.variety import Variety, VarietyRanker
from services.recommender.responses import Source, write_answer
from services.recommender.serving import ServingModel

K = 3
BOUGHT = 2  # products a known customer of that shop bought, on average
CATEGORIES = 123
NEIGHBOURS = 100  # of each product: more than that shop has on average
NOW_MS = 1_600_000_000_000
EVERYTHING = Filters()
# As it was chosen for that shop (docs/recommendations.md): every part counts.
COMPOSITION = ScoreWeights(
    factors=0.285,
    popularity=0.0131,
    live=0.0131,
    neighbours=1.03,
    categories=0.201,
    recency=(DecayTerm(72.0, 1.0), DecayTerm(1.0, 0.437)),
    shrink=6.93,
    balance=0.5,
)


def random_recommender(users: int, items: int, rank: int, *, alike: bool = False) -> Recommender:
    """A model of random factors, purchases and co-purchases, with the state as of its cut-off."""
    rng = np.random.default_rng(1)
    lengths = np.full(items, 1.7) if alike else 1.7 * rng.random(items) ** 5
    item_factors = (rng.normal(size=(items, rank)) * (lengths / np.sqrt(rank))[:, np.newaxis]).astype(np.float32)
    popularity = np.sort(rng.pareto(1.0, items))[np.argsort(np.argsort(lengths))]  # bought more often: longer
    catalogue = _random_catalogue(items, rng)
    trained = TrainedParts(
        item_factors,
        FoldIn(item_factors, alpha=40.0, regularisation=0.1),
        popularity,
        Categories(catalogue.categories.codes, rng.random((CATEGORIES, CATEGORIES)) / CATEGORIES),
    )
    scorer = ComposedScorer(trained, COMPOSITION)
    likeness = ProductLikeness(catalogue, centred(item_factors, items), no_co_purchases(items), trained.popularity)
    model = Model(
        version="random",
        created_at_ms=NOW_MS,
        rank=rank,
        users=users,
        items=items,
        catalogue=catalogue,
        scorer=scorer,
        basket_scorer=scorer,
        offline_scorer=scorer,
        basket=None,
        likeness=likeness,
        variety=VarietyRanker(catalogue, likeness.vectors),
        initial_state=_random_seed(users, items, rng),
        gate=Gate(),
    )
    return Recommender(model, model.live_state(), variety=Variety())


def _random_catalogue(items: int, rng: np.random.Generator) -> Catalogue:
    columns = ProductColumns(
        names=Labels(np.zeros(items, dtype=np.int32), [""]),
        categories=Labels(
            rng.integers(CATEGORIES, size=items, dtype=np.int32), [f"group{c % 12}.c{c}" for c in range(CATEGORIES)]
        ),
        brands=Labels(rng.integers(899, size=items, dtype=np.int32), [f"brand{b}" for b in range(899)]),
        prices=rng.integers(1, 500_000, size=items),
    )
    return Catalogue([f"15159{item:014d}" for item in range(items)], items, columns)


def _random_seed(users: int, items: int, rng: np.random.Generator) -> InitialState:
    return InitialState(
        cut_off_ms=NOW_MS,
        past=PastPurchases(
            users={_user(user): user for user in range(users)},
            starts=np.arange(0, users * BOUGHT + 1, BOUGHT),
            rows=rng.integers(items, size=users * BOUGHT, dtype=np.int32),
            quantity=np.ones(users * BOUGHT),
            event_time_ms=NOW_MS - rng.integers(90 * DAY_MS, size=users * BOUGHT),
        ),
        order_pairs=no_co_purchases(items),
        co_purchases=CoPurchases(
            starts=np.arange(0, items * NEIGHBOURS + 1, NEIGHBOURS),
            rows=rng.integers(items, size=items * NEIGHBOURS, dtype=np.int32),
            counts=rng.integers(1, 20, size=items * NEIGHBOURS, dtype=np.int32),
            buyers=rng.integers(20, 500, size=items),
        ),
        trends={half_life_ms: rng.pareto(1.0, items) for half_life_ms in COMPOSITION.half_lives_ms},
        sold_ms=np.full(items, NOW_MS),
        training=Training(to=""),
    )


def _user(number: int) -> str:
    return f"15155{number:014d}"


def argsort_answer(factors: Float32s, user_factors: Float32s, bought: set[int]) -> list[int]:
    """The peer: score everything by one inner product, sort everything, skip what was bought."""
    order = np.argsort(-(factors @ user_factors))
    return [row for row in order[: K + len(bought)].tolist() if row not in bought][:K]


class Asking:
    """Asks for one customer after the other, each at a later moment, as a shop with one request every 5 ms would."""

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender
        self._now_ms = NOW_MS

    def now_ms(self) -> int:
        """The next moment."""
        self._now_ms += 5
        return self._now_ms

    def customer(self, user_id: str, filters: Filters = EVERYTHING) -> Answer:
        """One answer."""
        return self.recommender.for_user(user_id, K, filters, self.now_ms())

    def after_a_purchase(self, number: int) -> Answer:
        """The first answer to a customer who has just bought something."""
        user_id, live = _user(number), self.recommender.live
        live.apply(Purchase(user_id, number, 1, NOW_MS))
        return self.customer(user_id)

    def as_bytes(self, user_id: str) -> bytes:
        """One answer as it is sent."""
        source = Source(ServingModel(self.recommender, 0), "main", NOW_MS)
        return write_answer(source, self.customer(user_id), user_id).SerializeToString()


def measure(name: str, call: Callable[[int], object], requests: int, each: int = 1) -> None:
    """Print the percentiles of `requests` calls; `each` answers a call."""
    for number in range(20):
        call(number)
    took = []
    for number in range(requests):
        started = time.thread_time()
        call(number)
        took.append((time.thread_time() - started) / each * 1e6)
    p50, p99 = np.percentile(took, (50, 99))
    print(f"{name:52s} p50 {p50:8.0f} µs   p99 {p99:8.0f} µs")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time of one recommendation in memory")
    parser.add_argument("--users", type=int, default=97_000)
    parser.add_argument("--items", type=int, default=21_000)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--alike", action="store_true", help="factors of about the same length: the worst case")
    options = parser.parse_args()
    asking = Asking(random_recommender(options.users, options.items, options.rank, alike=options.alike))
    recommender, requests = asking.recommender, options.requests
    users, products = [_user(number) for number in range(options.users)], recommender.model.catalogue.product_ids
    filtered = Filters(category="group3", brand="brand7", min_price=1000, max_price=400_000)
    vectors = recommender.model.likeness.vectors
    print(f"{options.users:,} users × {options.items:,} items × rank {options.rank}, k = {K}, CPU time of one thread")
    measure("peer: full argsort of factors, no filters, no reasons", lambda n: _peer(vectors, n), requests // 4)
    measure("one customer, for the first time", lambda n: asking.customer(users[n]), requests)
    measure("one customer, again", lambda n: asking.customer(users[n]), requests)
    measure("one customer, after a purchase", asking.after_a_purchase, requests)
    measure("one customer, all filters", lambda n: asking.customer(users[n], filtered), requests)
    measure("one customer, as protobuf", lambda n: asking.as_bytes(users[n]), requests)
    measure("an unknown user", lambda n: asking.customer("nobody"), requests)
    measure(
        "basket of 5", lambda n: recommender.for_basket(products[n : n + 5], K, EVERYTHING, asking.now_ms()), requests
    )
    measure("substitutes and complements", lambda n: recommender.related(n, K, EVERYTHING, asking.now_ms()), requests)
    for size in (16, 1000):
        measure(
            f"batch of {size}, per customer",
            lambda n, size=size: recommender.for_users(users[n : n + size], K, EVERYTHING, asking.now_ms()),  # type: ignore[misc]
            requests // size + 2,
            each=size,
        )


def _peer(vectors: Float32s, number: int) -> list[int]:
    return argsort_answer(vectors, vectors[number], {number, number + 1})


if __name__ == "__main__":
    main()
