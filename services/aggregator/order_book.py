"""What the tables know of the orders of a chunk, with what calls in flight make of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.aggregator.groups import GroupIndex
from services.aggregator.lines import AcceptedLine
from services.aggregator.names import AS_SENT, Renamed
from services.aggregator.order_counts import KnownOrder, OrderUpdate, member_of
from services.aggregator.store import TableStore, known_order
from services.common.calendar import Calendar

Updates = Mapping[str, OrderUpdate]


class OrderBook:
    """Reads orders. A chunk is prepared while the one before is in flight, and may continue its orders."""

    def __init__(self, store: TableStore) -> None:
        self._store = store
        self._in_flight: dict[str, list[OrderUpdate]] = {}

    def sent(self, updates: Updates) -> None:
        """These updates will be made, in this order; until they are confirmed the tables may not show them."""
        for order_id, update in updates.items():
            self._in_flight.setdefault(order_id, []).append(update)

    def confirmed(self, updates: Updates) -> None:
        """The tables show these updates."""
        for order_id, update in updates.items():
            waiting = self._in_flight.get(order_id, [])
            if update in waiting:
                waiting.remove(update)
            if not waiting:
                self._in_flight.pop(order_id, None)

    def forget(self) -> None:
        """Nothing is in flight."""
        self._in_flight.clear()

    async def read(
        self, lines: Sequence[AcceptedLine], calendar: Calendar, renamed: Renamed = AS_SENT
    ) -> dict[str, KnownOrder]:
        """The orders of these lines. Raises RedisError."""
        wanted = dict.fromkeys(line.purchase.order_id for line in lines)
        # Before the question: what is confirmed while it is under way may be in no answer.
        in_flight = {order_id: list(self._in_flight[order_id]) for order_id in wanted if order_id in self._in_flight}
        orders = await self._store.orders([order_id for order_id in wanted if order_id not in in_flight])
        for order_id, updates in in_flight.items():
            orders[order_id] = known_order(updates[-1].entry)
        large = {order_id for order_id, order in orders.items() if order.members is not None}
        if large:
            of_large = [line for line in lines if line.purchase.order_id in large]
            for order_id, members in (await self._members(of_large, calendar, renamed)).items():
                found = members.union(*(update.members for update in in_flight.get(order_id, ())))
                orders[order_id].members, orders[order_id].tokens = found, set(found)
        return orders

    async def _members(
        self, lines: Sequence[AcceptedLine], calendar: Calendar, renamed: Renamed
    ) -> dict[str, frozenset[bytes]]:
        """Ask the set of each large order for the tokens and the counters of these lines only."""
        index = GroupIndex(home=0, shards=1)
        wanted: defaultdict[str, dict[bytes, None]] = defaultdict(dict)
        touched = index.touch([line.purchase for line in lines], calendar, 0, renamed)
        for line, positions in zip(lines, touched, strict=True):
            names = (name for position in positions for name in index.groups.members[position].names)
            wanted[line.purchase.order_id].update(dict.fromkeys((*line.tokens, *map(member_of, names))))
        return await self._store.members({order_id: list(members) for order_id, members in wanted.items()})
