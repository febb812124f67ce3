"""How far a source has been sent: one small file a source, written only after the broker's acknowledgements.

It saves work and is never needed for exactness: rows that are sent again count once.
"""

import hashlib
import os
import re
from pathlib import Path

import msgspec

from services.producer.source import FileFingerprint

FORMAT = 2
_OLD_IDS_FORMAT = 1  # rows were sent under ids of file and row
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Checkpoint(msgspec.Struct, kw_only=True):
    """The rows from `first_row` to `next_row` (1-based, exclusive) are acknowledged.

    `fingerprint` and `rows_digest` (of all rows before `next_row`, "" where unknown) say which file it was. `offsets`
    holds, by partition, the highest offset that was acknowledged: a topic that ends before it is not the one that was
    sent to. `dead_letters` counts rows by reason. Rows before `sent_under_old_ids` went out under ids of file and row.
    """

    format: int = FORMAT
    source: str
    fingerprint: FileFingerprint = msgspec.field(name="head")
    cluster: str
    topic: str
    first_row: int = 1
    next_row: int = 1
    rows_digest: str = ""
    sent: int = 0
    dead_letters: dict[str, int] = msgspec.field(default_factory=dict)
    sent_under_old_ids: int = 1
    offsets: dict[int, int] = msgspec.field(default_factory=dict)


class BadCheckpoint(Exception):
    """The checkpoint cannot be used; the message says what to do."""


class CheckpointFile:
    """Where one source's checkpoint lies below the state directory."""

    def __init__(self, directory: Path, source: str) -> None:
        self.path = directory / f"{_file_name(source)}.json"

    def read(self) -> Checkpoint | None:
        """The checkpoint, or None where there is none. Raises BadCheckpoint."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadCheckpoint(f"the checkpoint {self.path} cannot be read: {error.strerror}") from None
        try:
            checkpoint = msgspec.json.decode(text, type=Checkpoint)
        except msgspec.DecodeError as error:
            raise BadCheckpoint(f"the checkpoint {self.path} is damaged ({error}): use --restart") from None
        if checkpoint.format == _OLD_IDS_FORMAT:
            checkpoint.format, checkpoint.sent_under_old_ids = FORMAT, checkpoint.next_row
        if checkpoint.format != FORMAT:
            raise BadCheckpoint(f"the checkpoint {self.path} has format {checkpoint.format}: use --restart")
        return checkpoint

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the file at once: whoever reads it sees the old or the new state, whole. Raises BadCheckpoint."""
        new = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(checkpoint)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise BadCheckpoint(f"the checkpoint {self.path} cannot be written: {error.strerror}") from None


def _file_name(source: str) -> str:
    if _PLAIN.fullmatch(source) and not source.startswith("."):
        return source
    cleaned = re.sub(r"[^A-Za-z0-9._-]", "_", source)[:60].lstrip(".")
    return f"{cleaned}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
