"""Texts that may be stored, logged and shown."""

import unicodedata

from services.common.texts import is_clean


def test_only_control_characters_and_lone_surrogates_are_not_clean() -> None:
    for code in range(0x110000):
        character = chr(code)
        clean = unicodedata.category(character) not in ("Cc", "Cs")
        assert is_clean(character) == is_clean(f"a{character}b") == clean, hex(code)
