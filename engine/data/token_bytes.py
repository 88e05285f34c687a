"""Which bytes of a text each token covers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tokenizers

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_alphabet() -> dict[str, int]:
    """The byte each character of a byte-level vocabulary stands for (GPT-2's table: printable bytes as they are)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def token_bytes(fast: tokenizers.Tokenizer, vocab_size: int, *, byte_level: bool) -> tuple[bytes, ...]:
    """The bytes of each token id: exact for byte-level vocabularies, else as written with ``▁`` for a space."""
    alphabet = byte_alphabet()
    added = fast.get_added_tokens_decoder()
    content = []
    for index in range(vocab_size):
        token = fast.id_to_token(index)
        byte = None if token is None else _BYTE_TOKEN.fullmatch(token)
        if token is None:
            content.append(b"")
        elif index in added:
            content.append(token.encode())
        elif byte_level:
            content.append(bytes(alphabet[character] for character in token))
        elif byte is not None:
            content.append(bytes([int(byte.group(1), 16)]))
        else:
            content.append(token.replace("▁", " ").encode())
    return tuple(content)


def byte_ends(text: str, ids: np.ndarray, lengths: np.ndarray, offsets: list[tuple[int, int]]) -> np.ndarray:
    """Where each token of ``text`` ends, as byte positions, int64; the tokens cover the text without gap or overlap.

    With byte-level ``lengths`` (bytes per token id) that add up to the text, these are exact. Otherwise a token reaches
    to where the next begins by ``offsets`` (characters, as the tokenizer gives them).
    """
    size = len(text.encode())
    exact = np.cumsum(lengths[ids], dtype=np.int64) if len(lengths) else np.empty(0, np.int64)
    if len(exact) and exact[-1] == size:
        return exact
    starts = np.array([start for start, _ in offsets[1:]] + [len(text)], dtype=np.int64)
    widths = np.array([len(character.encode()) for character in text], dtype=np.int64)
    byte_at = np.concatenate([[0], np.cumsum(widths)])
    return byte_at[np.maximum.accumulate(np.clip(starts, 0, len(text)))]
