"""Between two readings of all figures, those that purchases change at once are read."""

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.common.telemetry import Health
from services.gateway.queries.shards import LiveTables, open_live_tables
from services.gateway.stream.shop_state import ShopState, ShopStatePoller
from tests.support.gateway_app import settings_of
from tests.support.gateway_tables import SHOP, TableWriter


@pytest.fixture
def writer(redis_url: str) -> Iterator[TableWriter]:
    writer = TableWriter(redis_url)
    yield writer
    writer.close()


@pytest.fixture
async def tables(redis_url: str) -> AsyncIterator[LiveTables]:
    tables = open_live_tables(settings_of(redis_url=redis_url), "UTC")
    yield tables
    await tables.close()


def poller_of(tables: LiveTables) -> ShopStatePoller:
    nobody = cast(Any, SimpleNamespace(latest=None, version=None))
    return ShopStatePoller(tables, "purchases", nobody, nobody, Health("gateway", checks=("redis",)))


def boards(state: ShopState) -> dict[str, list[str]]:
    return {board: [row.id for row in rows] for board, rows in state.top.items()}


async def test_changes_have_figures_spenders_and_products_and_the_rest_follows(
    tables: LiveTables, writer: TableWriter
) -> None:
    poller, changes, states = poller_of(tables), list[ShopState](), list[ShopState | None]()
    poller.listen(states.append)
    poller.listen_to_changes(changes.append)
    await poller.refresh()
    writer.write(SHOP)
    await poller.refresh_changes()
    await poller.refresh()
    (changed,), (_before, after) = changes, states
    assert after is not None
    assert changed.totals == after.totals
    assert changed.totals.revenue == sum(line.revenue for line in SHOP)
    assert changed.today == after.today
    now, later = boards(changed), boards(after)
    assert later["spenders"]
    assert later["categories"]
    assert (now["spenders"], now["products"]) == (later["spenders"], later["products"])
    assert (now["categories"], now["brands"]) == ([], [])
    assert poller.latest is after


async def test_before_the_first_reading_there_are_no_changes(tables: LiveTables) -> None:
    poller, changes = poller_of(tables), list[ShopState]()
    poller.listen_to_changes(changes.append)
    await poller.refresh_changes()
    assert (changes, poller.latest) == ([], None)


async def test_while_redis_is_away_the_next_reading_says_so() -> None:
    away = open_live_tables(settings_of(), "UTC")
    poller, changes = poller_of(away), list[ShopState]()
    poller.listen_to_changes(changes.append)
    poller.latest = ShopState(0, cast(Any, None), 0, None, None, None)
    await poller.refresh_changes()
    assert changes == []
    await poller.refresh()
    assert poller.latest is None
    await away.close()
