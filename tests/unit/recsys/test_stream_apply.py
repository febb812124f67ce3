"""From records to state: each line once, whatever the cut-off, the batches, the restarts and the repeats."""

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.catalogue import Filters
from recsys.decayed_counts import HOUR_MS
from recsys.stream_apply import ApplyOutcome, Deduplicator, StreamApplier
from services.common.canary import encode_canary
from services.common.events import Purchase, parse
from services.common.line_identity import LineVerdict
from tests.support.reference_features import START_MS, Known, Model, known, purchase

PARTITIONS = 2
CUSTOMERS = ("ann", "bob", "cid", "dan")
PRODUCTS = ("p0", "p1", "p2", "p3", "p4")
NOW_MS = START_MS + 100 * HOUR_MS


class Record(NamedTuple):
    """A record of a made-up topic."""

    partition: int
    offset: int
    timestamp: int
    value: bytes


def fed(applier: StreamApplier, records: Sequence[Record]) -> StreamApplier:
    """The state after these records."""
    for record in records:
        applier.apply(record.value, record.timestamp)
    return applier


def empty() -> StreamApplier:
    return Model([]).applier()


def records(*values: bytes, partition: int = 0) -> list[Record]:
    return [Record(partition, offset, NOW_MS + offset, value) for offset, value in enumerate(values)]


def what(applier: StreamApplier) -> Known:
    return known(applier, CUSTOMERS, NOW_MS)


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A log as senders write it: rows in order, other ids, none; some lines sent twice, some brought back later.

    What is brought back was bought in one line, so that training and stream can say the same of it.
    """
    lines: list[tuple[str | None, str, int, float]] = []
    once: dict[tuple[str, str], int] = {}
    for number in range(draw(st.integers(0, 30))):
        customer, product = draw(st.sampled_from((None, *CUSTOMERS))), draw(st.sampled_from(PRODUCTS))
        hours = number / 2 + draw(st.floats(0, 5))
        left = once.get((customer or "", product))
        if customer is None or left is None:
            pieces = draw(st.integers(1, 3))
            if customer is not None:
                once[customer, product] = pieces
        elif left and draw(st.booleans()):
            pieces = -draw(st.integers(1, left))
            once[customer, product] += pieces
        else:
            continue
        lines.append((customer, product, pieces, hours))
    ends, log = [0] * PARTITIONS, list[Record]()
    rows = [0] * PARTITIONS
    sent: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for number, (customer, product, pieces, hours) in enumerate(lines):
        partition = CUSTOMERS.index(customer) % PARTITIONS if customer else number % PARTITIONS
        kind = draw(st.sampled_from(("row", "other", "none")))
        rows[partition] += 1
        event_id = {"row": f"till{partition}:{rows[partition]}", "other": f"id-{number}", "none": None}[kind]
        values = [purchase(customer, product, pieces, hours, event_id, category_code="food")]
        if event_id:
            sent[partition] += values
        again = draw(st.integers(0, 2 * len(sent[partition])))
        values += sent[partition][again:]
        if draw(st.booleans()):
            values.append(b"not json")
        for value in values:
            log.append(Record(partition, ends[partition], NOW_MS + len(log), value))
            ends[partition] += 1
    return log


@settings(max_examples=200, deadline=None)
@given(logs(), st.data())
def test_wherever_the_cut_off_lies_the_state_is_that_of_the_log(log: list[Record], data: st.DataObject) -> None:
    """A model of the records before any offsets, moved on by the others, knows what a model of all of them knows."""
    cuts = [data.draw(st.integers(0, sum(r.partition == p for r in log))) for p in range(PARTITIONS)]
    before = [record for record in log if record.offset < cuts[record.partition]]
    after = [record for record in log if record.offset >= cuts[record.partition]]
    followed = Model(before).applier()
    for record in before:
        followed.remember(record.value, record.timestamp)
    assert what(fed(followed, after)) == what(Model(log).applier())
    assert what(fed(empty(), log)) == what(Model(log).applier())


def test_a_line_counts_once_in_any_order_and_by_any_partition() -> None:
    values = [purchase("ann", f"p{line}", event_id=f"o:{line}") for line in (3, 4, 4, 3, 2, 5)]
    applier = fed(empty(), [*records(*values[:4]), *records(*values[2:], partition=1)])
    assert set(what(applier).held["ann"]) == {"p2", "p3", "p4", "p5"}
    assert applier.outcomes == {ApplyOutcome.APPLIED: 4, ApplyOutcome.REPEAT: 4}


def test_lines_under_one_id_count_where_they_differ() -> None:
    lines = [("p0", 3), ("p0", -1), ("p1", 1), ("p0", 3)]
    applier = fed(empty(), records(*(purchase("ann", product, pieces, event_id="10:00") for product, pieces in lines)))
    assert what(applier).held["ann"] == {"p0": (2, START_MS), "p1": (1, START_MS)}


def test_two_repairs_of_a_dead_letter_count_once() -> None:
    values = [purchase("ann", "p1", pieces, event_id="kz-1", replay_of="kz.csv:3") for pieces in (1, 2)]
    applier = fed(empty(), records(*values))
    assert what(applier).held["ann"] == {"p1": (1, START_MS)}


def test_an_order_that_changed_is_not_learnt() -> None:
    values = [
        purchase("ann", product, event_id=event_id, order_digest=digest * 16)
        for product, event_id, digest in (("p0", "a", "1"), ("p0", "a", "2"), ("p1", "b", "2"))
    ]
    applier = fed(
        empty(), records(*values, purchase("ann", "p2", event_id="c", order_id="next", order_digest="3" * 16))
    )
    assert set(what(applier).held["ann"]) == {"p0", "p2"}
    assert applier.outcomes == {
        ApplyOutcome.APPLIED: 2,
        ApplyOutcome.REPEAT: 1,
        ApplyOutcome.ORDER_CHANGED: 1,
    }


def test_lines_are_remembered_up_to_a_number() -> None:
    repeats = Deduplicator(remembered=2)
    lines = [parse(purchase("ann", "p0", event_id=f"id-{number}"), NOW_MS) for number in range(5)]
    purchases = [line for line in lines if isinstance(line, Purchase)]
    assert {repeats.verdict(line) for line in purchases} == {LineVerdict.COUNTS}
    assert repeats.verdict(purchases[3]) is LineVerdict.REPEAT
    assert repeats.verdict(purchases[0]) is LineVerdict.COUNTS, "the oldest are forgotten"


def test_a_new_product_gets_a_row_its_newest_facts_and_can_be_shown() -> None:
    applier = Model(records(purchase("bob", "p0", brand="acme", category_code="toys"))).applier(spare=1)
    fed(applier, records(purchase("ann", "new", hours=1, brand="zeta", category_code="food", product_name="tea")))
    fed(applier, records(purchase(None, "new", hours=3, brand="zeta", category_code="food", price="2.50")))
    fed(applier, records(purchase(None, "new", hours=2, brand="old", category_code="food", price="9.00")))
    row = applier.catalogue.row("new")
    assert row == 1
    assert what(applier).facts["new"] == ("", "food", "zeta", 250)
    assert applier.catalogue.allowed(Filters(brand="zeta")).tolist() == [False, True]
    assert what(applier).trend.keys() == {"p0", "new"}


def test_what_the_model_knows_follows_newer_facts_too() -> None:
    applier = Model(records(purchase("bob", "p0", hours=2, brand="acme"))).applier()
    fed(applier, records(purchase("bob", "p0", hours=1, brand="old", price="9.00")))
    assert what(applier).facts["p0"] == ("", "", "acme", 150)
    fed(applier, records(purchase("bob", "p0", hours=3, brand="zeta", price="2.00")))
    assert what(applier).facts["p0"] == ("", "", "zeta", 200)


def test_beyond_the_spare_rows_products_are_counted_and_ignored() -> None:
    applier = Model(records(purchase("bob", "p0"))).applier(spare=1)
    fed(applier, records(*(purchase("ann", id_) for id_ in ("n1", "n2", "n1", "p0")), purchase("ann", "n3", -1)))
    assert set(what(applier).held["ann"]) == {"n1", "p0"}
    assert applier.outcomes == {ApplyOutcome.APPLIED: 4, ApplyOutcome.PRODUCT: 1}, (
        "a return of what nobody bought needs no row"
    )


def test_spare_rows_are_shown_to_nobody() -> None:
    applier = Model(records(purchase("bob", "p0"))).applier(spare=3)
    assert applier.catalogue.allowed(Filters()).tolist() == [True, False, False, False]
    assert applier.live.on_sale(NOW_MS, 30).tolist() == [True, False, False, False]


def test_bad_records_change_nothing() -> None:
    applier = fed(empty(), records(b"", b"[]", purchase("ann", ""), purchase("ann", "p0", price="-1")))
    assert applier.outcomes == {ApplyOutcome.INVALID: 4}
    assert what(applier) == what(empty())


def test_a_canary_is_noted_and_nothing_is_learnt_from_it() -> None:
    applier, untouched = empty(), what(empty())
    canary = encode_canary("c")
    applier.remember(canary, NOW_MS)
    fed(applier, records(canary, canary))
    assert what(applier) == untouched
    assert applier.outcomes == {ApplyOutcome.CANARY: 2}
