"""What kind of thing a token is, and how to write it: the classes by which losses are summed up."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from engine.spec.run import TokenClass

# English words that carry grammar rather than content: determiners, pronouns, prepositions, conjunctions, auxiliaries.
_WORDS = """
a an the this that these those each every either neither some any no none all both half many much more most few
little less least several enough such what which whose whatever whichever another other others own same
me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself we us
our ours ourselves they them their theirs themselves one ones oneself who whom whoever someone somebody something
anyone anybody anything everyone everybody everything nobody nothing
about above across after against along amid among amongst around as at before behind below beneath beside besides
between beyond by concerning despite down during except for from in inside into like near of off on onto out
outside over past per regarding round since through throughout till to toward towards under underneath until unto
up upon versus via with within without
and or but nor so yet if then else than because although though unless while whereas whether when whenever where
wherever why how once lest provided
am is are was were be been being have has had having do does did doing done can could may might must shall should
will would ought need dare
not never also too very just only even still already again ever here there now thus hence therefore however
moreover otherwise instead rather quite perhaps yes
's 't 'd 'll 're 've 'm n't
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
PIECE_LETTERS = 2
"""A lower-case token this short, with no space before it, is a piece of a longer word more often than a word."""
_ESCAPES: Mapping[str, str] = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


def classify(content: bytes, *, special: bool = False) -> TokenClass:
    """The class of a token whose text is ``content``.

    ``newline``: a line end and nothing but whitespace, marks and symbols with it, like ``\\n\\n  `` or ``);\\n`` (the
    vocabularies of Llama 3, Qwen and GPT-4 merge line ends with marks before them, and predicting such a token predicts
    the line end); ``whitespace``: any other whitespace; ``word``: has a letter, and is ``function`` when it is an
    English function word; ``digits``: digits, no letter; ``punctuation``: marks and symbols only; ``other``: control
    characters, and pieces of a character that are no text by themselves.
    """
    if special:
        return "special"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "other"
    bare = text.strip()
    ends_line = "\n" in text or "\r" in text
    if text and not bare:
        return "newline" if ends_line else "whitespace"
    if any(character.isalpha() for character in bare):
        return "function" if _is_function_word(text, bare) else "word"
    if any(character.isnumeric() for character in bare):
        return "digits"
    if bare and all(character.isspace() or unicodedata.category(character)[0] in "PS" for character in bare):
        return "newline" if ends_line else "punctuation"
    return "other"


def readable(content: bytes) -> str:
    """The token's text with control characters and pieces of characters escaped as in Python (``\\n``, ``\\xe2``)."""
    return "".join(_escape(character) for character in content.decode(errors="surrogateescape"))


def _is_function_word(text: str, bare: str) -> bool:
    if len(bare) <= PIECE_LETTERS and text[0].isalpha() and text[0].islower():
        return False
    return bare == "I" or bare.lower().replace("’", "'") in FUNCTION_WORDS


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how surrogateescape marks a byte that is no text
        return f"\\x{code - 0xDC00:02x}"
    if character == " " or unicodedata.category(character)[0] not in "CZ":
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
