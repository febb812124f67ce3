"""What sending a file would do: the first lines, and how many rows would be refused and why."""

import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from services.common.events import Reason
from services.producer.csv_rows import Block
from services.producer.layouts.file import MappedFile
from services.producer.layouts.inspection import Answers, Proposal, Undecided, propose
from services.producer.layouts.mapping import Mapping
from services.producer.line_ids import BlockIds, LineIds
from services.producer.rows import RejectedRow, RowEncoder
from services.producer.source import BadFile, PurchaseFile

SHOWN_ROWS = 5
REVIEWED_ROWS = 200_000
_PLAIN_ROWS = 1_000


@dataclass(slots=True)
class Refusals:
    """Rows that one reason refuses; the first of them has the number `row`."""

    row: int
    detail: str
    count: int = 0


@dataclass(slots=True)
class Review:
    """The rows that were looked at: all, or the first of the file where `whole` is False."""

    columns: tuple[str, ...]
    rows: int = 0
    left_out: int = 0
    whole: bool = True
    shown: list[list[str]] = field(default_factory=list)
    refused: dict[Reason, Refusals] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """Rows that would become purchases."""
        return self.rows - sum(refusals.count for refusals in self.refused.values())


class _NoIds(LineIds):
    """Nothing is sent, so no line needs an identity."""

    def __init__(self) -> None:
        pass

    def of(self, first: int, count: int) -> BlockIds:
        """The same for all."""
        return BlockIds(["none"] * count, [""] * count)


def review(path: Path, mapping: Mapping | None, limit: int = REVIEWED_ROWS) -> Review:
    """Look at the file's first rows; without a mapping it is in the seed layout. Raises BadFile."""
    with PurchaseFile(path) if mapping is None else MappedFile(path, mapping) as file:
        found = Review(file.columns)
        encoder = RowEncoder(file.columns, path.name, _NoIds(), lambda _key: (0, b""))
        for block in file.blocks(end=limit + 2):
            _judge(block.cut(1, limit + 1), encoder, found)
            found.whole = block.first + len(block) <= limit + 1
        found.left_out = file.lines.left_out if isinstance(file, MappedFile) else 0
    return found


def _judge(block: Block, encoder: RowEncoder, found: Review) -> None:
    found.shown += [row for row in islice(block.rows, SHOWN_ROWS - len(found.shown)) if isinstance(row, list)]
    for number, outcome in enumerate(encoder.encode(block, int(time.time() * 1000)), block.first):
        if isinstance(outcome, RejectedRow):
            detail = dict(outcome.headers)["detail"].decode(errors="replace")
            found.refused.setdefault(outcome.reason, Refusals(number, detail)).count += 1
    found.rows += len(block)


def mapping_needed(path: Path, answers: Answers, shop_zone: str) -> Proposal | None:
    """The mapping that a file is read by; None where the seed layout, as it is, accepts as many of its first rows.

    Raises BadFile and Undecided, unless the seed layout accepts most rows.
    """
    plain = _plain_review(path)
    if plain is not None and not plain.refused:
        return None
    try:
        proposal = propose(path, answers, shop_zone)
        mapped = review(path, proposal.mapping, _PLAIN_ROWS)
    except (BadFile, Undecided):
        if plain is None or 2 * plain.accepted < plain.rows:
            raise
        return None
    return None if plain is not None and plain.accepted >= mapped.accepted else proposal


def _plain_review(path: Path) -> Review | None:
    try:
        return review(path, None, _PLAIN_ROWS)
    except BadFile:
        return None
