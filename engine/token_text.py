"""The class of a token of which only the text is known, as per-token tables write it: control characters escaped."""

from __future__ import annotations

import re

from engine.data.token_classes import classify
from engine.spec.run import TokenClass

_ESCAPE = re.compile(r"\\(?:n|t|r|\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_CHARACTERS = {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\"}


def class_of_text(text: str) -> TokenClass:
    """The class of a token written as ``engine.data.token_classes.readable`` writes it, or as it is.

    ``special`` cannot be told from a text; no evaluation text has such tokens. ``\\xa0`` is both a space and a byte of
    other characters; it counts as the byte, hence ``other``.
    """
    return classify(written_bytes(text))


def written_bytes(text: str) -> bytes:
    """The bytes that an escaped text stands for; a backslash that escapes nothing stands for itself."""
    parts, done = [], 0
    for found in _ESCAPE.finditer(text):
        parts.append(text[done : found.start()].encode(errors="replace"))
        parts.append(_bytes_of(found.group()[1:]))
        done = found.end()
    return b"".join([*parts, text[done:].encode(errors="replace")])


def _bytes_of(escape: str) -> bytes:
    if escape in _CHARACTERS:
        return _CHARACTERS[escape]
    code = int(escape[1:], 16)
    if escape[0] == "x":
        return bytes([code])
    return chr(code).encode(errors="replace") if code < 0x110000 else b"?"
