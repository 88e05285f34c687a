"""Embedders: windows of token ids [n, length] to vectors [n, dim]."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError

BATCH_TOKENS = 8192
MEMORY_HINT = "Use shorter samples or a smaller encoder."


class Embedder(Protocol):
    """Turns windows into vectors; ``identity`` changes whenever the vectors would."""

    name: str
    encoder: str
    """What is shown with every value: the model or tokenizer behind it."""
    identity: dict[str, Any]

    def embed(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [n, dim] of windows [n, length]."""


class ModelEmbedder:
    """Mean over positions of the last hidden state of a causal LM's base model, in fp32."""

    name = "model"

    def __init__(self, model: Any, encoder: str, device: str) -> None:
        from engine.models.decoder import CONTEXT_NAMES

        self.encoder = encoder
        self._base = model.base_model
        self._device = device
        self._vocab_size = int(model.get_input_embeddings().weight.shape[0])
        config = model.config.get_text_config()
        self._context = next((getattr(config, name) for name in CONTEXT_NAMES if getattr(config, name, None)), None)
        self.identity = {"embedder": self.name, "version": 1, "weights": fingerprint_weights(self._base)}

    def embed(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [n, hidden size]; DataError when windows do not fit the model's vocabulary or context."""
        import torch

        from engine.models.device import explain_out_of_memory

        if int(windows.max()) >= self._vocab_size:
            raise DataError(
                f"{self.encoder} knows {self._vocab_size} tokens, the sample holds token {int(windows.max())}",
                "Use the tokenizer that belongs to the encoder.",
            )
        if self._context is not None and windows.shape[1] > self._context:
            raise DataError(
                f"{self.encoder} reads {self._context} tokens at once, windows have {windows.shape[1]}",
                f"Make the samples {self._context} tokens long, or shorter.",
            )
        batch = max(1, BATCH_TOKENS // windows.shape[1])
        vectors = []
        with torch.inference_mode(), explain_out_of_memory(MEMORY_HINT):
            for start in range(0, len(windows), batch):
                ids = torch.from_numpy(windows[start : start + batch]).to(self._device)
                vectors.append(self._base(input_ids=ids).last_hidden_state.float().mean(dim=1).cpu().numpy())
        return np.concatenate(vectors)


class WindowLosses:
    """Mean loss of every window under a causal LM, each read by itself: [n, 1], nats per token.

    The first token of a window is not predicted. An embedder in form, so that it is cached like one.
    """

    name = "base"

    def __init__(self, model: Any, encoder: str) -> None:
        from engine.models.decoder import Decoder

        self.encoder = encoder
        self._decoder = Decoder.of(model)
        self.identity = {"embedder": self.name, "version": 1, "weights": fingerprint_weights(model)}

    def embed(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """DataError when a token is outside the model's vocabulary or a loss not finite."""
        from engine.evaluate.losses import per_token_losses
        from engine.spec.run import Scheme

        scheme = Scheme(kind="blocks", window=windows.shape[1])
        losses = per_token_losses(self._decoder, windows.ravel(), scheme, batch_tokens=BATCH_TOKENS)
        return np.nanmean(losses.reshape(windows.shape).astype(np.float64), axis=1, keepdims=True).astype(np.float32)


def fingerprint_weights(model: Any) -> str:
    """A short digest of a model's parameters: names, shapes, sums and first values, read in one pass."""
    digest = hashlib.sha256()
    for name, parameter in model.state_dict().items():
        values = parameter.detach()
        head = values.reshape(-1)[:64].double().cpu().numpy().tobytes()
        digest.update(f"{name}{tuple(values.shape)}{float(values.double().sum())}".encode() + head)
    return digest.hexdigest()[:16]
