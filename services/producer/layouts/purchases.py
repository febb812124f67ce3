"""Opens a file of purchases: in the seed layout, which costs nothing more, or by a mapping."""

from pathlib import Path
from typing import TYPE_CHECKING

from services.producer.source import PurchaseFile

if TYPE_CHECKING:
    from services.producer.layouts.file import MappedFile


def open_purchases(path: Path, mapping: Path | None) -> "PurchaseFile | MappedFile":
    """The file as numbered rows; `mapping` is a file that `inspect` has written. Raises BadFile."""
    if mapping is None:
        return PurchaseFile(path)
    from services.producer.layouts.file import MappedFile  # noqa: PLC0415 - the seed layout does not need it
    from services.producer.layouts.mapping import read_mapping  # noqa: PLC0415

    return MappedFile(path, read_mapping(mapping))
