"""Time of one recommendation in memory: `python -m bench.scoring [--users N] [--items N] [--rank N]`.

Random factors of the electronics shop's size; beside the whole answer stand its parts, and the peer: a plain full
argsort of all scores, as most examples do it. One thread.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from services.recommender import recommend
from services.recommender.catalogue import Catalogue, Filters, Labels
from services.recommender.foldin import FoldIn
from services.recommender.model import KnownPurchases, Model
from services.recommender.responses import write_answer
from services.recommender.scoring import InnerProductIndex, Ranked, unit_vectors

K = 3
BOUGHT = 2  # products a known customer of that shop bought, on average


def random_model(users: int, items: int, rank: int, seed: int = 1) -> Model:
    """A model of random factors and purchases."""
    rng = np.random.default_rng(seed)
    item_factors = rng.normal(scale=0.3, size=(items, rank)).astype(np.float32)
    return Model(
        version="random",
        created_at_ms=0,
        rank=rank,
        catalogue=_random_catalogue(items, rng),
        users={f"15155{user:014d}": user for user in range(users)},
        user_factors=rng.normal(scale=0.3, size=(users, rank)).astype(np.float32),
        items=InnerProductIndex(item_factors),
        similar=InnerProductIndex(unit_vectors(item_factors)),
        fold_in=FoldIn(item_factors, alpha=40.0, regularisation=0.1),
        popular=Ranked(rng.permutation(items).astype(np.int32), np.arange(items, 0, -1, dtype=np.float64)),
        purchases=KnownPurchases(
            starts=np.arange(0, users * BOUGHT + 1, BOUGHT),
            products=rng.integers(items, size=users * BOUGHT, dtype=np.int32),
            pieces=np.ones(users * BOUGHT),
        ),
    )


def _random_catalogue(items: int, rng: np.random.Generator) -> Catalogue:
    return Catalogue(
        product_ids=[f"15159{item:014d}" for item in range(items)],
        scored=items,
        names=Labels(np.zeros(items, dtype=np.int32), [""]),
        categories=Labels(rng.integers(123, size=items, dtype=np.int32), [f"group{c % 12}.c{c}" for c in range(123)]),
        brands=Labels(rng.integers(899, size=items, dtype=np.int32), [f"brand{b}" for b in range(899)]),
        prices=rng.integers(1, 500_000, size=items),
    )


def argsort_answer(model: Model, user: int) -> list[int]:
    """The peer: score everything, sort everything, skip what was bought."""
    factors = model.items.vectors
    bought = set(model.purchases.of(user)[0].tolist())
    order = np.argsort(-(factors @ model.user_factors[user]))
    return [row for row in order[: K + len(bought)].tolist() if row not in bought][:K]


def measure(name: str, call: Callable[[int], object], requests: int, each: int = 1) -> None:
    """Print the percentiles of `requests` calls; `each` answers a call."""
    for number in range(20):
        call(number)
    took = []
    for number in range(requests):
        started = time.perf_counter()
        call(number)
        took.append((time.perf_counter() - started) / each * 1e6)
    p50, p99 = np.percentile(took, (50, 99))
    print(f"{name:52s} p50 {p50:8.0f} µs   p99 {p99:8.0f} µs")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time of one recommendation in memory")
    parser.add_argument("--users", type=int, default=97_000)
    parser.add_argument("--items", type=int, default=21_000)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2_000)
    options = parser.parse_args()
    model = random_model(options.users, options.items, options.rank)
    users = list(model.users)
    products = model.catalogue.product_ids
    everything = Filters()
    filtered = Filters(category="group3", brand="brand7", min_price=1000, max_price=400_000)
    allowed = model.catalogue.allowed(everything)
    requests = options.requests
    print(f"{options.users:,} users × {options.items:,} items × rank {options.rank}, k = {K}, one thread")
    measure("peer: full argsort, no filters, no reasons", lambda n: argsort_answer(model, n), requests // 4)
    measure("top-k alone", lambda n: model.items.top_k(model.user_factors[n], K, allowed), requests)
    measure("one customer, with reasons", lambda n: recommend.for_user(model, users[n], K, everything), requests)
    measure("one customer, all filters", lambda n: recommend.for_user(model, users[n], K, filtered), requests)
    measure("one customer, as protobuf", lambda n: _as_bytes(model, users[n], everything), requests)
    measure("popular, unknown customer", lambda n: recommend.for_user(model, "nobody", K, everything), requests)
    measure(
        "basket of 5, folded in", lambda n: recommend.for_basket(model, products[n : n + 5], K, everything), requests
    )
    measure("similar products", lambda n: recommend.similar(model, n, K, everything), requests)
    for size in (16, 1000):
        measure(
            f"batch of {size}, per customer",
            lambda n, size=size: recommend.for_users(model, users[n : n + size], K, everything),  # type: ignore[misc]
            requests // size + 2,
            each=size,
        )


def _as_bytes(model: Model, user_id: str, filters: Filters) -> bytes:
    return write_answer(model, recommend.for_user(model, user_id, K, filters), user_id).SerializeToString()


if __name__ == "__main__":
    main()
