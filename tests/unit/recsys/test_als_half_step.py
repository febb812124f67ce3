"""The exact half-step against the textbook's dense one, and the products' half-step by sums against the exact one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys import als_half_step
from recsys.als_half_step import Batch, FixedFactors, Floats, batches, pieces
from recsys.als_items import ItemSystem, conjugate_gradients, product, target_less_product
from recsys.fold_in import FoldIn
from tests.support.models import half_step

ALPHA, REGULARISATION = 20.0, 0.3
USERS, ITEMS = 30, 12


class Shop:
    """A shop's ratings: dense [users, items], and as pairs with confidence − 1."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.quantity = rng.integers(1, 4, size=(USERS, ITEMS)) * (rng.random((USERS, ITEMS)) < 0.5)
        self.quantity[0] = 0
        self.ratings = np.log1p(self.quantity.astype(np.float64))
        self.users, self.items = np.nonzero(self.quantity)
        self.extra = ALPHA * self.ratings[self.users, self.items]

    def by_user(self, rank: int) -> list[Batch]:
        return [*batches(self.users, self.items, self.extra, rank)]

    def factors(self, rows: int, rank: int) -> NDArray[np.float64]:
        return np.random.default_rng(rows).normal(size=(rows, rank))


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize("rank", [2, 5, 40])
def test_a_half_step_solves_the_textbook_s_equations(shop: Shop, rank: int) -> None:
    fixed = shop.factors(ITEMS, rank)
    solved = FixedFactors(fixed).solve(shop.by_user(rank), USERS, REGULARISATION)
    assert solved == pytest.approx(half_step(shop.ratings, fixed, ALPHA, REGULARISATION), abs=1e-9)
    assert not solved[0].any(), "a customer without ratings"


def test_threads_give_the_same_factors_bit_for_bit(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_half_step, "_CELLS", 12 * 5)  # many batches
    fixed, ratings = shop.factors(ITEMS, 5), shop.by_user(5)
    with ThreadPoolExecutor(3) as pool:
        solved = FixedFactors(fixed).solve(ratings, USERS, REGULARISATION, pool.map)
    assert len(ratings) > 10
    assert np.array_equal(solved, FixedFactors(fixed).solve(ratings, USERS, REGULARISATION))


@pytest.mark.parametrize("rank", [2, 40])
def test_in_single_precision_a_half_step_is_what_folding_in_gives(shop: Shop, rank: int) -> None:
    fixed = shop.factors(ITEMS, rank).astype(np.float32)
    solved = FixedFactors(fixed).solve(shop.by_user(rank), USERS, REGULARISATION)
    assert solved.dtype == np.float32
    fold_in = FoldIn(fixed, ALPHA, REGULARISATION)
    for user in range(1, USERS):
        rows = np.flatnonzero(shop.quantity[user])
        assert solved[user] == pytest.approx(fold_in.vector(rows, shop.quantity[user, rows].astype(float)), abs=1e-5)


def test_each_rating_is_in_one_batch_and_batches_are_small(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_half_step, "_CELLS", 12 * 5)
    made = shop.by_user(rank=5)
    assert max(batch.others.size for batch in made) < 2 * 12
    assert max(len(batch.entities) for batch in made) > 1
    rated = sorted(
        (user, item, extra)
        for batch in made
        for user, others, extras in zip(batch.entities, batch.others, batch.extra, strict=True)
        for item, extra in zip(others, extras, strict=True)
    )
    assert rated == sorted(zip(shop.users, shop.items, shop.extra, strict=True))


def products_solved(shop: Shop, blocks: int, steps: int, start: Floats, customers: Floats) -> Floats:
    """The products' factors by sums over `blocks` of customers, as they are spread over machines."""
    rank = start.shape[1]
    parts: list[tuple[list[Batch], Floats]] = []
    for block in range(blocks):
        mine = shop.users % blocks == block
        ratings = [*pieces(shop.items[mine], shop.users[mine] // blocks, shop.extra[mine], rank)]
        parts.append((ratings, customers[block::blocks]))
    counts = np.bincount(shop.items, minlength=ITEMS)
    system = ItemSystem(customers.T @ customers, REGULARISATION * counts[:, np.newaxis])

    def times(directions: Floats) -> Floats:
        sums = [product(ratings, users, directions) for ratings, users in parts]
        return np.asarray(system.times(directions) + np.sum(sums, axis=0))

    residual = np.sum([target_less_product(ratings, users, start) for ratings, users in parts], axis=0)
    return conjugate_gradients(start, residual - system.times(start), times, system.preconditioner(), steps)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("cells", [2 * 5, 2**19])
def test_conjugate_gradients_end_at_the_exact_products(
    shop: Shop, blocks: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(als_half_step, "_CELLS", cells)  # small: a product's ratings are spread over batches
    customers, start = shop.factors(USERS, 5), np.zeros((ITEMS, 5))
    exact = half_step(shop.ratings.T, customers, ALPHA, REGULARISATION)
    assert products_solved(shop, blocks, 8, start, customers) == pytest.approx(exact, abs=1e-8)


def test_each_step_comes_nearer_and_solved_products_stay(shop: Shop) -> None:
    customers, start = shop.factors(USERS, 5), shop.factors(ITEMS, 5)
    exact = half_step(shop.ratings.T, customers, ALPHA, REGULARISATION)
    distances = [np.abs(products_solved(shop, 2, n, start, customers) - exact).max() for n in (0, 1, 2, 3)]
    assert distances == sorted(distances, reverse=True)
    assert products_solved(shop, 2, 2, exact, customers) == pytest.approx(exact, abs=1e-9)


def test_a_direction_of_nothing_moves_nothing() -> None:
    zeros = np.zeros((2, 3))
    solved = conjugate_gradients(zeros, zeros, lambda vectors: vectors, lambda vectors: vectors, 2)
    assert np.array_equal(solved, zeros)
