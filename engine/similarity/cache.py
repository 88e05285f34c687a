"""What is computed once per workspace: vectors of sampled windows, and the values made of them, both by content."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.similarity.estimate import Estimate
from engine.spec.strict import content_key
from store.errors import DataError
from store.files import write_atomic

if TYPE_CHECKING:
    from engine.similarity.embedders import Embedder
    from store.workspace import Workspace

DECISIVE = ("measures.py", "ngrams.py", "probe.py", "estimate.py", "../stats.py")
"""The sources that values follow from, besides the samples."""


class SimilarityCache:
    """Vectors in ``cache/embeddings``, values in ``cache/similarities``; without a workspace nothing is kept."""

    def __init__(self, workspace: Workspace | None) -> None:
        self._root = None if workspace is None else workspace.cache

    def vectors(self, embedder: Embedder, windows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Vectors of the windows in float64, read or computed. DataError when they are damaged or not finite."""
        if self._root is None:
            return embed(embedder, windows).astype(np.float64)
        content = hashlib.sha256(np.ascontiguousarray(windows, dtype=np.int64).tobytes()).hexdigest()
        path = self._root / "embeddings" / f"{content_key([embedder.identity, list(windows.shape), content], 20)}.npy"
        if path.exists():
            try:
                return np.load(path).astype(np.float64)
            except (OSError, ValueError, EOFError) as error:
                why = " ".join(str(error).split())[:200]
                hint = "Delete that file and retry the run: it is made again."
                raise DataError(f"the cached {path} is damaged: {why}", hint) from error
        vectors = embed(embedder, windows)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, npy_bytes(vectors))
        return vectors.astype(np.float64)

    def estimate(self, basis: list[Any], compute: Callable[[], Estimate]) -> Estimate:
        """The value that follows from ``basis`` (plain JSON) and the code, read or computed."""
        if self._root is None:
            return compute()
        path = self._root / "similarities" / f"{content_key([code_digest(), basis], 20)}.json"
        try:
            return Estimate(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            found = compute()  # not there yet, or damaged
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(asdict(found)).encode())
        return found


def embed(embedder: Embedder, windows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors [n, dim]. DataError when they are not finite."""
    vectors = embedder.embed(windows)
    if not np.isfinite(vectors).all():
        raise DataError(f"{embedder.encoder}: embeddings are not finite", "The encoder's weights may be damaged.")
    return vectors


@cache
def code_digest() -> str:
    """A digest of ``DECISIVE``: a value computed by other code is another value."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in DECISIVE)).hexdigest()[:16]


def npy_bytes(array: NDArray) -> bytes:
    """The array as the content of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
