"""The products of recent orders, so that a further line of an order is paired with those before it. Pure; bounded."""

from collections.abc import Sequence

ORDER_PRODUCTS = 50
"""Products of an order that are paired with one another: pairs grow with the square of their number."""


class RecentOrders:
    """The products of the newest `orders` orders at least, and of at most twice as many.

    Memory: some 200 bytes an order, and 8 for each of its first ORDER_PRODUCTS products.
    """

    def __init__(self, orders: int) -> None:
        self._orders = orders
        self._new: dict[int, list[int]] = {}
        self._old: dict[int, list[int]] = {}

    def add(self, order: int, product: int) -> Sequence[int] | None:
        """The products that the order had before this one; None where it had this one already.

        A product beyond ORDER_PRODUCTS has none before it, and is not remembered.
        """
        products = self._products(order)
        if product in products:
            return None
        if len(products) >= ORDER_PRODUCTS:
            return ()
        before = tuple(products)
        products.append(product)
        return before

    def _products(self, order: int) -> list[int]:
        products = self._new.get(order)
        if products is None:
            products = self._old.pop(order, [])
            if len(self._new) >= self._orders:
                self._old, self._new = self._new, {}
            self._new[order] = products
        return products
