"""A stand-alone comparison of two models in a process of its own: ``python -m engine.evaluate.drift_alone``.

Reads a ``Drifting`` as JSON from stdin and answers as ``engine.speaker`` says. Texts are read before anything slow is
imported.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.evaluate.standalone import Scorer
from engine.evaluate.texts import read_texts
from engine.speaker import Say, serve
from engine.spec.drifting import Drifting
from engine.spec.scoring import Scoring
from store.errors import DataError

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.evaluate.drift import Drift

MEMORY_HINT = "Two models are in memory at once: lower --batch-tokens or --window, or use smaller models."


def compare(asked: Drifting, say: Say) -> dict[str, Any]:
    """The drift as plain values, with a list for every column of its table of token types, in the order of their ids.

    Raises OdysseyError for whatever is wrong with texts, models, tokenizers or scheme.
    """
    say("reading the texts", 0, 0)
    texts = [text for file in asked.files for text in read_texts(Path(file).expanduser())]
    with tempfile.TemporaryDirectory(prefix="odyssey-") as scratch:
        say("loading the models", 0, 0)
        before, after = (Scorer.prepare(_scoring(asked, model), Path(scratch)) for model in (asked.before, asked.after))
        return _compare(asked, before, after, texts, say)


def _scoring(asked: Drifting, model: Any) -> Scoring:
    return Scoring(
        model=model,
        workspace=asked.workspace,
        files=asked.files,
        # Evaluated as they are: the canary checks the losses as they will be computed.
        scheme=asked.scheme.model_copy(update={"precision": "fp32"}),
        shorten=asked.shorten,
        batch_tokens=asked.batch_tokens,
        device=asked.device,
    )


def _compare(asked: Drifting, before: Scorer, after: Scorer, texts: list[str], say: Say) -> dict[str, Any]:
    from engine.data.encoding import ByteEncoder
    from engine.evaluate.drift import count_positions, measure_drift
    from engine.evaluate.stream import Stream

    tokenizers = before.tokenizer, after.tokenizer
    if tokenizers[0].tokenizer_id != tokenizers[1].tokenizer_id:
        raise DataError(
            f"{before.name} and {after.name} have different tokenizers, of {tokenizers[0].vocab_size:,} and "
            f"{tokenizers[1].vocab_size:,} tokens ({tokenizers[0].tokenizer_id}, {tokenizers[1].tokenizer_id})",
            "Their tokens are not the same: compare an adapted model with the base it was made from.",
        )
    say("tokenising", 0, 0)
    tokens = Stream.of(texts, ByteEncoder.of(tokenizers[0])).tokens
    total, done = count_positions(len(tokens), before.scheme, asked.max_tokens), 0

    def pulse(tokens: int) -> None:
        nonlocal done
        done += tokens
        say("comparing", done, total)

    drift = measure_drift(
        before.decoder,
        after.decoder,
        tokens,
        before.scheme,
        max_tokens=asked.max_tokens,
        bos_id=before.bos_id,
        batch_tokens=asked.batch_tokens,
        names=(before.name, after.name),
        pulse=pulse,
    )
    return {
        "model_before": before.name,
        "model_after": after.name,
        "files": list(asked.files),
        "tokenizer_id": tokenizers[0].tokenizer_id,
        "scheme": before.scheme.content(),
        "device": str(before.decoder.device),
        "max_tokens": asked.max_tokens,
        **{name: _plain(value) for name, value in drift.summary().items()},
        "types": list_types(drift, tokenizers[0]),
    }


def list_types(drift: Drift, tokenizer: LoadedTokenizer) -> dict[str, list[Any]]:
    """The columns of the table of token types; null where a ratio or cosine is not defined."""
    vocabulary = tokenizer.vocabulary()
    texts, classes = (vocabulary[name].to_pylist() for name in ("text", "token_class"))
    ids = drift.token_id.tolist()
    return {
        "token_id": ids,
        "text": [texts[token] if token < len(texts) else f"#{token}" for token in ids],
        "token_class": [classes[token] if token < len(classes) else "other" for token in ids],
        "n": drift.count.tolist(),
        **{name: [_plain(value) for value in values.tolist()] for name, values in drift.columns().items()},
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def main() -> None:
    """Compare what stdin asks for."""
    serve(lambda asked, say: compare(Drifting.model_validate_json(asked), say), memory_hint=MEMORY_HINT)


if __name__ == "__main__":
    main()
