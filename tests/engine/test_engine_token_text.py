"""Classes of tokens from their texts alone are those of their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.token_classes import classify, readable
from engine.token_text import class_of_text, written_bytes


@pytest.mark.parametrize(
    ("text", "token_class"),
    [
        ("\\n", "newline"),
        ("\n", "newline"),
        (");\\n\\n", "newline"),
        ("\\t", "whitespace"),
        ("  ", "whitespace"),
        (" the", "function"),
        ("عربي", "word"),
        ("\\xd8", "other"),
        ("\\x1b", "other"),
        ("\\\\", "punctuation"),
        ("\\", "punctuation"),
        ("\\q", "word"),
        ("12", "digits"),
        ("", "other"),
    ],
)
def test_by_hand(text: str, token_class: str) -> None:
    assert class_of_text(text) == token_class


@given(st.one_of(st.binary(max_size=6), st.text(max_size=6).map(lambda text: text.encode(errors="replace"))))
def test_what_is_written_is_read(content: bytes) -> None:
    shown = readable(content)
    if "\\x" not in shown:
        assert written_bytes(shown) == content
        assert class_of_text(shown) == classify(content)


@given(st.binary(max_size=6))
def test_bytes_below_128_and_pieces_of_characters_are_read(content: bytes) -> None:
    # A character between U+0080 and U+00FF that is no letter is written as a byte is.
    decoded = content.decode(errors="surrogateescape")
    if not any(0x80 <= ord(character) < 0x100 for character in decoded):
        assert written_bytes(readable(content)) == content
