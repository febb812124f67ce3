"""Pieces and revenue of a line, from its price, quantity and amount as texts. Pure."""

from services.common.money import parse_cents, parse_whole

MAX_QUANTITY = 1_000_000
# Figures are exact up to 2^53 cents: nine million lines of the default.
DEFAULT_MAX_LINE_CENTS = 1_000_000_000


class InconsistentLine(ValueError):
    """The numbers of a line cannot be read, or contradict each other; `field` is the one to correct."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def pieces_and_revenue(
    price: int, quantity: str | None, amount: str | None, max_cents: int = DEFAULT_MAX_LINE_CENTS
) -> tuple[int, int]:
    """Pieces and revenue (cents), which never have opposite signs. `price` is in cents; None where a field is missing.

    `max_cents`: the largest revenue, of either sign.

    A missing quantity is one piece: sold, or returned where the line's total is negative. So a refund may come as a
    negative price or amount alone. Raises InconsistentLine.
    """
    pieces = None if quantity is None else _pieces(quantity)
    if price < 0 and pieces is not None:
        raise InconsistentLine("price", "price is negative: a return has a positive price and a negative quantity")
    revenue = price * (1 if pieces is None else pieces) if amount is None else _cents(amount)
    if abs(revenue) > max_cents:
        raise InconsistentLine("amount", f"the line's total is not within ±{max_cents // 100:,}.{max_cents % 100:02}")
    if pieces is None:
        pieces = -1 if revenue < 0 else 1
    if price < 0 < pieces:
        raise InconsistentLine("price", "price is negative and amount is not")
    if revenue * pieces < 0:
        raise InconsistentLine("amount", "amount and quantity have opposite signs; a discount has a quantity of 0")
    return pieces, revenue


def _pieces(text: str) -> int:
    try:
        pieces = parse_whole(text)
    except ValueError as error:
        raise InconsistentLine("quantity", f"quantity {error}") from None
    if abs(pieces) > MAX_QUANTITY:
        raise InconsistentLine("quantity", f"quantity {text[:40]!r} is not within ±{MAX_QUANTITY:,}")
    return pieces


def _cents(text: str) -> int:
    try:
        return parse_cents(text)
    except ValueError as error:
        raise InconsistentLine("amount", f"amount {error}") from None
