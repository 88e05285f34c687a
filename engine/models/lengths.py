"""Whether sequences, windows, vocabulary and packing fit a model: checked once it is loaded, before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.models.packing import check_documents_apart
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.models.decoder import Decoder
    from engine.spec.run import Evaluation, Training


def check_lengths(
    decoder: Decoder, tokenizer: LoadedTokenizer, training: Training | None, evaluation: Evaluation
) -> None:
    """Raise when sequences or windows exceed the model's context, the tokenizer its vocabulary, or when documents are
    to be kept apart and the model cannot."""
    if tokenizer.vocab_size > decoder.vocab_size:
        raise DataError(
            f"the tokenizer ({tokenizer.source}) has {tokenizer.vocab_size} tokens, the model {decoder.vocab_size}",
            "Use the tokenizer that belongs to the model.",
        )
    lengths = {"evaluate.window": evaluation.scheme.window}
    if training is not None:
        lengths["training.sequence"] = training.sequence
        if training.sequence < 2:
            raise ConfigError("training.sequence: 1 token predicts nothing", "Use at least 2 tokens.")
    for key, length in lengths.items():
        if decoder.context is not None and length > decoder.context:
            raise ConfigError(
                f"{key}: {length} tokens exceed the model's context of {decoder.context}",
                f"Set it to {decoder.context} or less.",
            )
    if training is not None and not training.cross_document:
        check_documents_apart(decoder, training.precision)
