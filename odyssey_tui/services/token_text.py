"""Texts of tokens as they may be shown: nothing in them moves a cursor, turns the direction of a line or takes no cell.

Vocabularies recorded here are escaped when they are recorded; files of others hold what they hold.
"""

from __future__ import annotations

import unicodedata

_LINE_ENDS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
TAB = "⇥   "
_MARK_CARRIER = "◌"
LEFT_TO_RIGHT = "\u200e"
"""Ends a run of text that is written from right to left."""
_RIGHT_TO_LEFT = frozenset({"R", "AL"})


def visible(text: str) -> str:
    """A token as a table shows it: spaces at its ends and what has no shape of its own are visible.

    Combining marks at its beginning stand on a circle, so that they neither join what is before nor take no cell.
    """
    text = neutral(text)
    bare = text.strip(" ")
    if not bare:
        return "␣" * len(text)
    before = len(text) - len(text.lstrip(" "))
    carrier = _MARK_CARRIER if unicodedata.combining(bare[0]) else ""
    return "␣" * before + carrier + bare + "␣" * (len(text) - before - len(bare))


def neutral(text: str) -> str:
    """``text`` with control characters, escapes, marks of direction and lone surrogates written as in Python."""
    return text if text.isprintable() else "".join(map(_escape, text))


def flowing(text: str, token_class: str) -> str:
    """A token within its text: line ends are marked and end the line, tabs are wide."""
    text = neutral(text)
    if token_class == "newline":
        text = text.replace("\\r\\n", "\\n").replace("\\r", "\\n").replace("\\n", "⏎\n")
    return text.replace("\\t", TAB) if token_class in ("newline", "whitespace") else text


def settled(text: str) -> str:
    """``text`` as a cell between others: what is written from right to left draws no neighbour into its run."""
    turned = any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text)
    return text + LEFT_TO_RIGHT if turned else text


def escape_line_ends(text: str) -> str:
    """Line ends and tabs as vocabularies write them; other text stays."""
    return "".join(_LINE_ENDS.get(character, character) for character in text)


def _escape(character: str) -> str:
    if character in _LINE_ENDS:
        return _LINE_ENDS[character]
    code = ord(character)
    if character == " " or unicodedata.category(character)[0] not in "CZ":
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
