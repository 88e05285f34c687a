from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.similarity.cache import SimilarityCache
from engine.similarity.embedders import ModelEmbedder, WindowLosses, fingerprint_weights
from engine.similarity.ngrams import NgramEmbedder, count_ngrams, hash_ngrams
from store.errors import DataError
from store.workspace import Workspace


@pytest.fixture
def model():
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=16, n_embd=8, n_layer=1, n_head=2)).eval()


def test_ngrams_have_unit_length_and_see_only_the_text() -> None:
    windows = np.random.default_rng(0).integers(0, 500, (20, 32))
    vectors = NgramEmbedder("t").embed(windows)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (NgramEmbedder("t").embed(windows[::-1])[::-1] == vectors).all()


def test_ngram_products_are_near_those_of_the_plain_bags() -> None:
    """Signed hashing is unbiased: the mean error over many pairs is far below the error of one pair."""
    rng = np.random.default_rng(1)
    windows = np.minimum(rng.integers(0, 400, (40, 48)), rng.integers(0, 400, (40, 48)))
    bags = []
    for row in windows:
        bag: dict[tuple[int, ...], int] = {}
        for gram in [(t,) for t in row] + list(itertools.pairwise(row)):
            bag[gram] = bag.get(gram, 0) + 1
        bags.append({gram: np.log1p(count) for gram, count in bag.items()})
    exact = np.array([[sum(v * b.get(g, 0.0) for g, v in a.items()) for b in bags] for a in bags])
    exact /= np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    vectors = NgramEmbedder("t", dim=4096).embed(windows).astype(float)
    error = (vectors @ vectors.T - exact)[np.triu_indices(40, k=1)]
    assert np.abs(error).max() < 0.1
    assert abs(error.mean()) < 0.003


def test_hashes_tell_order_and_place_apart() -> None:
    codes = hash_ngrams(np.array([[1, 2, 1], [2, 1, 2]]), 2)
    assert codes.shape == (2, 2)
    assert codes[0, 0] == codes[1, 1] != codes[0, 1]
    multiplier, mask = 0x9E3779B97F4A7C15, 2**64 - 1
    by_hand = ((1 ^ 6) * multiplier) & mask
    by_hand = ((by_hand ^ by_hand >> 29) * multiplier) & mask
    assert int(hash_ngrams(np.array([[5]]), 1)[0, 0]) == by_hand
    rows, found, counts = count_ngrams(np.array([[7, 3, 7], [7, 7, 7]], dtype=np.uint64))
    assert list(zip(rows, found, counts, strict=True)) == [(0, 3, 1), (0, 7, 2), (1, 7, 3)]
    assert hash_ngrams(np.array([[5]]), 2).shape == (1, 0)


def test_model_embedding_is_the_mean_of_the_last_hidden_state(model) -> None:
    import torch

    windows = np.random.default_rng(2).integers(0, 30, (5, 12))
    with torch.no_grad():
        hidden = model(torch.from_numpy(windows), output_hidden_states=True).hidden_states[-1]
    vectors = ModelEmbedder(model, "tiny@main", "cpu").embed(windows)
    assert vectors.shape == (5, 8)
    assert vectors == pytest.approx(hidden.mean(dim=1).numpy(), abs=1e-5)


def test_model_refuses_foreign_tokens_and_long_windows(model) -> None:
    embedder = ModelEmbedder(model, "tiny@main", "cpu")
    with pytest.raises(DataError, match="knows 30 tokens, the sample holds token 30"):
        embedder.embed(np.array([[1, 30]]))
    with pytest.raises(DataError, match="reads 16 tokens at once, windows have 17"):
        embedder.embed(np.zeros((1, 17), dtype=np.int64))


def test_window_losses_are_those_of_the_windows_alone(model) -> None:
    import torch

    windows = np.random.default_rng(4).integers(0, 30, (5, 12))
    with torch.no_grad():
        logits = model(torch.from_numpy(windows)).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), torch.from_numpy(windows[:, 1:]), reduction="none"
    ).mean(dim=1)
    losses = WindowLosses(model, "tiny@main").embed(windows)
    assert losses.shape == (5, 1)
    assert losses[:, 0] == pytest.approx(expected.numpy(), abs=1e-5)
    with pytest.raises(DataError, match="30"):
        WindowLosses(model, "tiny@main").embed(np.array([[1, 30]]))


def test_fingerprint_follows_the_weights(model) -> None:
    import torch

    before = fingerprint_weights(model)
    assert fingerprint_weights(model) == before
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[-1, -1] += 1e-3
    assert fingerprint_weights(model) != before


def test_cache_is_by_content(tmp_path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    cache = SimilarityCache(workspace)

    class Counting(NgramEmbedder):
        calls = 0

        def embed(self, windows):
            Counting.calls += 1
            return super().embed(windows)

    windows = np.random.default_rng(3).integers(0, 99, (6, 10))
    first = cache.vectors(Counting("t"), windows)
    again = cache.vectors(Counting("t"), windows.copy())
    assert Counting.calls == 1
    assert (first == again).all()
    assert first.dtype == np.float64
    cache.vectors(Counting("t", dim=64), windows)
    cache.vectors(Counting("t"), windows + 1)
    assert Counting.calls == 3
    assert len(list((workspace.cache / "embeddings").glob("*.npy"))) == 3


def test_damaged_embeddings_are_refused_and_not_cached(tmp_path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")

    class Broken(NgramEmbedder):
        def embed(self, windows):
            return np.full((len(windows), 2), np.nan, dtype=np.float32)

    with pytest.raises(DataError, match="not finite"):
        SimilarityCache(workspace).vectors(Broken("t"), np.zeros((3, 4), dtype=np.int64))
    assert not list(workspace.cache.rglob("*.npy"))
