"""What a shop sets of the validation of events."""

from typing import NamedTuple

from services.common.erased import Erased
from services.common.line_totals import DEFAULT_MAX_LINE_CENTS
from services.common.spellings import NO_CUSTOMER, placeholders


class EventRules(NamedTuple):
    """The same in every service and in the batch job (`EventSettings`), so that all of them count the same lines.

    `no_customer`: ids that stand for no customer, as `is_no_customer` compares them. `max_line_cents`: the largest
    revenue of a line, of either sign. `erased`: customers whose lines count without a customer; None: nobody. It is no
    setting but the list in the bucket (`erasure_list`), and may grow at any time.
    """

    no_customer: frozenset[str] = placeholders(",".join(NO_CUSTOMER))
    max_line_cents: int = DEFAULT_MAX_LINE_CENTS
    erased: Erased | None = None


DEFAULT_RULES = EventRules()
