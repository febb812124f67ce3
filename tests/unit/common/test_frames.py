"""Messages on a stream of bytes."""

import pytest

from services.common.frames import MAX_FRAME_BYTES, FrameReader, FrameTooLarge, frame

MESSAGES = [b"first", b"", b"x" * 70_000, b"last"]


@pytest.mark.parametrize("piece", [1, 3, 4, 5, 65_536, 1_000_000])
def test_messages_come_back_however_the_bytes_are_cut(piece: int) -> None:
    sent, reader = b"".join(map(frame, MESSAGES)), FrameReader()
    pieces = [sent[start : start + piece] for start in range(0, len(sent), piece)]
    assert [message for each in pieces for message in reader.feed(each)] == MESSAGES


def test_a_message_beyond_the_limit_is_no_message() -> None:
    with pytest.raises(FrameTooLarge):
        list(FrameReader().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big")))
