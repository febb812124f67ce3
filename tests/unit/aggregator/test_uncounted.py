"""Lines that did not count, as runs of offsets."""

import random

from services.aggregator import uncounted
from services.aggregator.uncounted import UNCOUNTED_KEPT, decode_runs, encode_runs


def test_runs_join_neighbours_among_the_shard_s_own_lines() -> None:
    assert encode_runs([(2, False), (5, False), (6, True), (9, False)]) == "2-5 9-9"
    assert encode_runs([(1, True), (2, True)]) == ""


def test_what_was_encoded_is_found() -> None:
    dice = random.Random(3)
    batches = [[(start + n, dice.random() < 0.7) for n in range(50)] for start in range(0, 1000, 50)]
    stored = [text for batch in batches if (text := encode_runs(batch))]
    found = decode_runs(stored)
    assert all((offset not in found) is counts for batch in batches for offset, counts in batch)
    assert found.since == 0


def test_a_full_list_says_from_where_it_is_complete() -> None:
    assert decode_runs([f"{n}-{n}" for n in range(100, 100 + UNCOUNTED_KEPT)]).since == 100
    assert uncounted.uncounted_table("purchases/3") == "uncounted:purchases/3"
