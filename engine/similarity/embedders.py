"""Embedders: windows of token ids [n, length] to vectors [n, dim], cached by content in the workspace."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.spec.strict import content_key
from store.errors import DataError
from store.files import write_atomic

if TYPE_CHECKING:
    from store.workspace import Workspace

BATCH_TOKENS = 8192


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
        self.encoder = encoder
        self._base = model.base_model
        self._device = device
        self._vocab_size = int(model.get_input_embeddings().weight.shape[0])
        self._context = getattr(model.config, "max_position_embeddings", None)
        self.identity = {"embedder": self.name, "version": 1, "weights": fingerprint_weights(self._base)}

    def embed(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [n, hidden size]; DataError when windows do not fit the model's vocabulary or context."""
        import torch

        if int(windows.max()) >= self._vocab_size:
            raise DataError(
                f"{self.encoder} knows {self._vocab_size} tokens, the sample holds token {int(windows.max())}",
                "Use the tokenizer that belongs to the encoder.",
            )
        if self._context is not None and windows.shape[1] > self._context:
            raise DataError(
                f"{self.encoder} reads {self._context} tokens at once, windows have {windows.shape[1]}",
                f"Set `sample_tokens: {self._context}` or less.",
            )
        batch = max(1, BATCH_TOKENS // windows.shape[1])
        vectors = []
        with torch.inference_mode():
            for start in range(0, len(windows), batch):
                ids = torch.from_numpy(windows[start : start + batch]).to(self._device)
                vectors.append(self._base(input_ids=ids).last_hidden_state.float().mean(dim=1).cpu().numpy())
        return np.concatenate(vectors)


def fingerprint_weights(model: Any) -> str:
    """A short digest of a model's parameters: names, shapes, sums and first values, read in one pass."""
    digest = hashlib.sha256()
    for name, parameter in model.state_dict().items():
        values = parameter.detach()
        head = values.reshape(-1)[:64].double().cpu().numpy().tobytes()
        digest.update(f"{name}{tuple(values.shape)}{float(values.double().sum())}".encode() + head)
    return digest.hexdigest()[:16]


def embed_cached(embedder: Embedder, windows: NDArray[np.int64], workspace: Workspace) -> NDArray[np.float64]:
    """Vectors of the windows in float64, read from or written to ``cache/embeddings/KEY.npy``."""
    content = hashlib.sha256(np.ascontiguousarray(windows, dtype=np.int64).tobytes()).hexdigest()
    path = workspace.cache / "embeddings" / f"{content_key([embedder.identity, list(windows.shape), content], 20)}.npy"
    if path.exists():
        try:
            return np.load(path).astype(np.float64)
        except (OSError, ValueError, EOFError) as error:
            why = " ".join(str(error).split())[:200]
            hint = "Delete that file and retry the run: it is made again."
            raise DataError(f"the cached {path} is damaged: {why}", hint) from error
    vectors = embedder.embed(windows)
    if not np.isfinite(vectors).all():
        raise DataError(f"{embedder.encoder}: embeddings are not finite", "The encoder's weights may be damaged.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, npy_bytes(vectors))
    return vectors.astype(np.float64)


def npy_bytes(array: NDArray) -> bytes:
    """The array as the content of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
