"""From protobuf requests to typed values; every limit of the contract is checked here. Pure."""

from collections.abc import Sequence

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from recsys.catalogue import Filters
from services.common.events import MAX_ID_LENGTH, MAX_TEXT_LENGTH

DEFAULT_K = 3
MAX_K = 100
MAX_IDS = 1000


class InvalidArgument(ValueError):
    """A request breaks the contract; the message begins with the field's name."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")


def read_k(k: int) -> int:
    """How many products are asked for; 0 (unset) means 3. Raises InvalidArgument."""
    if not 0 <= k <= MAX_K:
        raise InvalidArgument("k", f"must be 1 to {MAX_K} (0 means {DEFAULT_K}), not {k}")
    return k or DEFAULT_K


def read_id(field: str, value: str) -> str:
    """A user's or product's id. Raises InvalidArgument."""
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        raise InvalidArgument(field, f"must be 1 to {MAX_ID_LENGTH} characters long, not {len(value)}")
    return value


def read_ids(field: str, values: Sequence[str], at_least: int = 1) -> tuple[str, ...]:
    """A bounded list of ids. Raises InvalidArgument."""
    if not at_least <= len(values) <= MAX_IDS:
        raise InvalidArgument(field, f"must hold {at_least} to {MAX_IDS} ids, not {len(values)}")
    return tuple(read_id(f"{field}[{place}]", value) for place, value in enumerate(values))


def read_filters(filters: pb.Filters) -> Filters:
    """Filters with their defaults. Raises InvalidArgument."""
    lowest = _cents("min_price_cents", filters.min_price_cents) if filters.HasField("min_price_cents") else None
    highest = _cents("max_price_cents", filters.max_price_cents) if filters.HasField("max_price_cents") else None
    if lowest is not None and highest is not None and lowest > highest:
        raise InvalidArgument("filters.min_price_cents", f"{lowest} is above filters.max_price_cents {highest}")
    return Filters(
        category=_text("filters.category", filters.category),
        brand=_text("filters.brand", filters.brand),
        min_price=lowest,
        max_price=highest,
        exclude_purchased=filters.exclude_purchased if filters.HasField("exclude_purchased") else None,
        exclude=read_ids("filters.exclude_product_ids", filters.exclude_product_ids, at_least=0),
        alike=filters.alike,
    )


def _cents(field: str, cents: int) -> int:
    if cents < 0:
        raise InvalidArgument(f"filters.{field}", f"must be 0 or more, not {cents}")
    return cents


def _text(field: str, value: str) -> str:
    if len(value) > MAX_TEXT_LENGTH:
        raise InvalidArgument(field, f"must be at most {MAX_TEXT_LENGTH} characters long, not {len(value)}")
    return value
