from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from engine.similarity.samples import count_windows, draw_sample, equal_size, sample_seed
from store.errors import DataError


def stream(tokens: int, documents: int, first: int = 0) -> SimpleNamespace:
    """Tokens numbered from ``first``; documents of equal length."""
    return SimpleNamespace(
        tokens=np.arange(first, first + tokens, dtype=np.uint16),
        document_offsets=np.linspace(0, tokens, documents, endpoint=False).astype(np.int64),
    )


def test_windows_are_contiguous_disjoint_and_know_their_document() -> None:
    sample = draw_sample("a", [stream(1000, 50)], 40, 16, seed=1)
    assert sample.windows.shape == (40, 16)
    assert (np.diff(sample.windows, axis=1) == 1).all()
    assert len(np.unique(sample.windows)) == 40 * 16
    same_document = sample.windows[:, 0] // 20
    for group in np.unique(sample.groups):
        assert len(set(same_document[sample.groups == group])) == 1
    assert sample.groups.max() + 1 == len(set(same_document))


def test_reference_corpora_give_equal_shares_and_their_documents_stay_apart() -> None:
    streams = [stream(1000, 30), stream(4000, 30, first=10_000), stream(2000, 30, first=20_000)]
    sample = draw_sample("all", streams, 32, 10, seed=0)
    corpus = sample.windows[:, 0] // 10_000
    assert np.bincount(corpus).tolist() == [11, 11, 10]
    assert not set(sample.groups[corpus == 0]) & set(sample.groups[corpus == 1])


def test_same_seed_same_sample() -> None:
    one, two, other = (draw_sample("a", [stream(5000, 20)], 30, 8, seed=s).windows for s in (3, 3, 4))
    assert (one == two).all()
    assert (one != other).any()


def test_a_corpus_has_its_own_seed_whatever_stands_beside_it() -> None:
    seeds = [sample_seed(seed, role, name) for seed in (0, 1) for role in ("reference", "domain") for name in "ab"]
    assert len(set(seeds)) == len(seeds)
    assert sample_seed(0, "domain", "a") == seeds[2]


def test_a_digest_is_of_what_was_drawn() -> None:
    one, same, other = (draw_sample("a", [stream(5000, 20)], 30, 8, seed=s) for s in (3, 3, 4))
    assert one.digest == same.digest != other.digest
    assert replace(one, name="b").digest == one.digest
    assert replace(one, groups=one.groups[::-1]).digest != one.digest


def test_few_documents_make_the_windows_the_units() -> None:
    sample = draw_sample("a", [stream(1000, 2)], 20, 10, seed=0)
    assert sample.groups.tolist() == list(range(20))


def test_sizes_are_equal_and_set_by_the_smallest() -> None:
    assert count_windows([stream(100, 2), stream(1000, 2)], 10) == 20
    assert equal_size(64, [("a", 100), ("b", 30)]) == 30
    assert equal_size(64, [("a", 100), ("b", 300)]) == 64
    with pytest.raises(DataError, match="b: too little text: 3 samples"):
        equal_size(64, [("a", 100), ("b", 3)])
    with pytest.raises(DataError, match="a: 30 windows of 10 tokens asked for, it holds 10"):
        draw_sample("a", [stream(100, 2)], 30, 10, seed=0)
