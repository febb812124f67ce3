"""A row of a file as the fields of an event, by the file's columns. Pure."""

from collections.abc import Callable, Sequence
from operator import itemgetter

from services.common.events import Invalid, Reason
from services.producer.csv_rows import Row, Unreadable
from services.producer.source import REQUIRED, RowLayout

EVENT_FIELDS = (*REQUIRED, "quantity", "amount", "product_name")


class RowFields:
    """Picks the fields of a file's rows. `columns` is the file's header."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._width = len(columns)
        self._layout = RowLayout(columns)
        self._pick = _identity if tuple(columns) == REQUIRED else _picker(columns)
        self._event_id_column = columns.index("event_id") if "event_id" in columns else None

    def of(self, row: Row) -> Sequence[str]:
        """The row's texts in the order of EVENT_FIELDS; those of columns that follow the file's last may be missing.

        Raises Invalid.
        """
        if isinstance(row, Unreadable):
            raise Invalid(Reason.BAD_ROW, f"not readable as CSV: {row.detail}")
        if len(row) == self._width:
            return self._pick(row)
        if self._layout.is_short(row):
            event_time, order_id, product_id, _, price, user_id = row
            return (event_time, order_id, product_id, "", "", "", price, user_id)
        raise Invalid(Reason.BAD_ROW, f"{len(row)} fields where the header has {self._width} columns")

    def own_id(self, row: Row) -> str:
        """The event id that the row itself gives; "" where it gives none."""
        column = self._event_id_column
        return row[column] if column is not None and column < len(row) else ""


def _identity(row: list[str]) -> Sequence[str]:
    return row


def _picker(columns: Sequence[str]) -> Callable[[list[str]], Sequence[str]]:
    """Picks the event's fields from a row by header name; a column that the file lacks gives an empty text."""
    absent = len(columns)
    pick = itemgetter(*(columns.index(name) if name in columns else absent for name in EVENT_FIELDS))

    def fields(row: list[str]) -> Sequence[str]:
        picked: tuple[str, ...] = pick([*row, ""])
        return picked

    return fields
