"""Held-out sequences that training scores now and then: the same ones every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.data.tokens import token_stream

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.data.tokens import TokenStream
    from engine.report import JobContext
    from engine.spec.run import Corpus, Training


def hold_out(
    corpora: Sequence[Corpus], tokenizer: LoadedTokenizer, training: Training, context: JobContext
) -> tuple[np.ndarray, ...]:
    """Windows over the valid splits of ``corpora``, one array of int64 (rows, length) for each corpus.

    Together ``validate_tokens`` at most, in equal shares. Empty when no validation is asked for. A corpus without such
    text is left out with a warning.
    """
    if not training.validate_every:
        return ()
    share = training.validate_tokens // len(corpora)
    chosen = []
    for corpus in corpora:
        stream = token_stream(corpus, "valid", tokenizer, context.workspace, training.separator)
        windows = cut_windows(stream, training.sequence, share)
        if windows is None:
            context.report.warning(
                f"training is not validated on corpus '{corpus.name}': {len(stream)} tokens in its valid split, "
                f"{share} wanted of it"
            )
        else:
            chosen.append(windows)
    return tuple(chosen)


def cut_windows(stream: TokenStream, sequence: int, tokens: int) -> np.ndarray | None:
    """Windows of ``sequence`` tokens that lie evenly over ``stream``, ``tokens`` at most: int64 (rows, length).

    One shorter window when there is less; None when there is nothing to predict.
    """
    length = min(sequence, tokens, len(stream))
    if length < 2:
        return None
    there = len(stream) // length
    rows = min(there, tokens // length)
    starts = np.arange(rows) * there // rows * length
    return np.stack([np.asarray(stream.tokens[start : start + length], dtype=np.int64) for start in starts])
