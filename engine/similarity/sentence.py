"""Sentence encoders (Reimers & Gurevych 2019) as embedders, by the optional library sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.hub import explain_hub
from engine.similarity.embedders import MEMORY_HINT, fingerprint_weights
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer

LIBRARY = "sentence_transformers"
INSTALL = "Install it (`pip install 'odyssey-tui[sentence]'`), or use the embedder model or ngrams."
BATCH_WINDOWS = 64

Decode = Callable[[NDArray[np.int64]], list[str]]
"""Windows of token ids [n, length] back to their texts."""


def require_library() -> None:
    """ConfigError with how to install it where the library is missing; nothing is imported."""
    if find_spec(LIBRARY) is None:
        raise ConfigError("embedders: `sentence` needs sentence-transformers, which is not installed", INSTALL)


def hub_name(model: str) -> str:
    """The repository of an encoder: a name without an owner is one of the library's own."""
    return model if "/" in model or model.startswith((".", "~")) else f"sentence-transformers/{model}"


class SentenceEmbedder:
    """A sentence encoder over the windows' texts, its vectors as it gives them (many scale theirs to unit length).

    ``tokenizer_id`` names what ``decode`` undoes: the same token ids are another text with another tokenizer.
    """

    name = "sentence"

    def __init__(self, model: str, decode: Decode, tokenizer_id: str, device: str) -> None:
        """Load the encoder ``model``, a hub id or folder. DataError when it cannot be had."""
        self.encoder = model
        self._decode = decode
        self._model = load_encoder(model, device)
        self.identity: dict[str, Any] = {
            "embedder": self.name,
            "version": 1,
            "weights": fingerprint_weights(self._model),
            "reads": getattr(self._model, "max_seq_length", None),
            "tokenizer": tokenizer_id,
        }

    def embed(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [n, dim]; an encoder reads the beginning of a text that is too long for it."""
        from engine.models.device import explain_out_of_memory

        with explain_out_of_memory(MEMORY_HINT):
            vectors = self._model.encode(
                self._decode(windows), batch_size=BATCH_WINDOWS, show_progress_bar=False, convert_to_numpy=True
            )
        return np.asarray(vectors, dtype=np.float32)


def load_encoder(model: str, device: str) -> Any:
    """The ``SentenceTransformer`` of a hub id (without an owner: one of the library's own) or folder."""
    require_library()
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(model, device=device).eval()
    except Exception as error:  # a missing folder, no connection, damaged files: types differ by library version
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        known = explain_hub(error, model) or (reason[:300], "Check its name and the connection; or give its folder.")
        raise DataError(f"sentence encoder '{model}' could not be loaded: {known[0]}", known[1]) from error


def decoder_of(tokenizer: LoadedTokenizer) -> Decode:
    """How to read windows of ``tokenizer``: an end of text becomes a line end, half characters at the edges go."""

    def text(ids: Sequence[int]) -> str:
        if tokenizer.byte_level:
            return b"".join(tokenizer.token_bytes[token] for token in ids).decode(errors="ignore")
        return str(tokenizer.fast.decode(list(ids), skip_special_tokens=True))

    def parts(ids: list[int]) -> Iterator[str]:
        start = 0
        for end in [*(place for place, token in enumerate(ids) if token == tokenizer.eos_id), len(ids)]:
            yield text(ids[start:end])
            start = end + 1

    return lambda windows: ["\n".join(parts(row)).strip() for row in windows.tolist()]
