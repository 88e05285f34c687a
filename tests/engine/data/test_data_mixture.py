"""Token streams and the exact mixture of their packed sequences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.corpus import snapshot
from engine.data.mixture import Mixture
from engine.data.tokenizer import load_tokenizer
from engine.data.tokens import TokenStream, token_stream
from engine.spec.run import Corpus, Tokenizer
from store.errors import DataError
from store.workspace import Workspace


def stream(number: int, n_sequences: int, length: int = 4) -> TokenStream:
    """Sequence i of stream ``number`` begins with 1000 * number + i; two tokens are left over at the end."""
    heads = 1000 * number + np.arange(n_sequences + 1, dtype=np.uint16)
    tokens = np.repeat(heads, length)[: n_sequences * length + 2]
    return TokenStream(f"s{number}", "train", "", tokens, np.array([0, len(tokens)]), len(tokens))


def heads(mixture: Mixture, count: int) -> list[int]:
    return [int(mixture.sequence(k)[0]) for k in range(count)]


@settings(max_examples=80, deadline=None)
@given(
    ratio=st.one_of(st.sampled_from([0.0, 0.05, 0.1, 0.3, 1 / 3, 0.5, 0.999, 1.0]), st.floats(0, 1)),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    target=st.integers(1, 9),
    seed=st.integers(0, 3),
)
def test_every_prefix_holds_the_requested_share(ratio: float, sizes: list[int], target: int, seed: int) -> None:
    replay = [stream(number + 1, size) for number, size in enumerate(sizes)]
    mixture = Mixture(stream(0, target), replay, ratio, 4, seed)
    drawn = heads(mixture, 60)
    for k in range(61):
        replayed = [head // 1000 for head in drawn[:k] if head >= 1000]
        assert abs(len(replayed) - ratio * k) <= 0.5 + 1e-9
        shares = [replayed.count(number + 1) for number in range(len(sizes))]
        assert max(shares) - min(shares) <= 1
        realised = mixture.realised(k)
        assert realised["replay_tokens"] == 4 * len(replayed)
        assert realised["target_tokens"] == 4 * (k - len(replayed))
        assert realised["target_epochs"] == pytest.approx((k - len(replayed)) / target)
        worst = max((share / size for share, size in zip(shares, sizes, strict=True)), default=0)
        assert realised["replay_epochs"] == pytest.approx(worst)


@settings(max_examples=40, deadline=None)
@given(ratio=st.floats(0.05, 0.95), sizes=st.lists(st.integers(2, 9), min_size=2, max_size=3), seed=st.integers(0, 9))
def test_no_sequence_comes_twice_within_an_epoch(ratio: float, sizes: list[int], seed: int) -> None:
    streams = [stream(number, size) for number, size in enumerate(sizes)]
    drawn = heads(Mixture(streams[0], streams[1:], ratio, 4, seed), 100)
    for number, size in enumerate(sizes):
        own = [head % 1000 for head in drawn if head // 1000 == number]
        for start in range(0, len(own) - size + 1, size):
            assert sorted(own[start : start + size]) == list(range(size))


def test_a_sequence_depends_on_its_position_alone() -> None:
    parts = (stream(0, 50), [stream(1, 40), stream(2, 30)], 0.3, 4, 7)
    mixture = Mixture(*parts)
    in_order = [mixture.sequence(k).tolist() for k in range(200)]
    backwards = [Mixture(*parts).sequence(k).tolist() for k in range(199, -1, -1)]
    assert in_order == backwards[::-1]
    assert mixture.batch(37, 5).tolist() == in_order[37:42]
    assert mixture.batch(0, 3).dtype == np.int64


def test_the_seed_and_the_epoch_change_the_order() -> None:
    drawn = heads(Mixture(None, [stream(1, 50)], 1.0, 4, 0), 100)
    assert drawn[:50] != drawn[50:]
    assert drawn[:50] != heads(Mixture(None, [stream(1, 50)], 1.0, 4, 1), 50)
    assert sorted(drawn[:50]) == sorted(drawn[50:]) == list(range(1000, 1050))


def test_a_huge_position_is_still_exact() -> None:
    mixture = Mixture(stream(0, 5), [stream(1, 5)], 0.1, 4, 0)
    start = 10**15
    assert [mixture.is_replay(start + k) for k in range(20)] == [mixture.is_replay(k) for k in range(20)]


def test_an_unused_corpus_may_be_short_and_a_used_one_may_not() -> None:
    short = stream(1, 0)
    Mixture(stream(0, 3), [short], 0.0, 4, 0).sequence(5)
    with pytest.raises(DataError, match=r"corpus 's1': its train split has 2 tokens, fewer than one sequence of 4"):
        Mixture(stream(0, 3), [short], 0.1, 4, 0)
    with pytest.raises(DataError, match="corpus 's1'"):
        Mixture(short, [], 0.0, 4, 0)


@pytest.mark.parametrize(
    ("target", "replay", "ratio", "message"),
    [
        (None, [stream(1, 3)], 0.5, "no target corpus"),
        (stream(0, 3), [], 0.5, "no replay corpus"),
        (stream(0, 3), [stream(1, 3)], 1.5, "outside"),
        (stream(0, 3), [stream(1, 3)], -0.1, "outside"),
    ],
)
def test_impossible_mixtures_are_refused(
    target: TokenStream | None, replay: list[TokenStream], ratio: float, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Mixture(target, replay, ratio, 4, 0)


def test_a_token_stream_holds_the_split_with_separators(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    tokenizer = load_tokenizer(Tokenizer(train_on=corpora, vocab_size=300), workspace)
    made = token_stream(corpora[0], "train", tokenizer, workspace)
    documents = list(snapshot(corpora[0], workspace).documents("train"))
    assert isinstance(made.tokens, np.memmap)
    assert made.tokens.dtype == np.uint16
    assert len(made.document_offsets) == len(documents) + 1
    assert made.document_offsets[-1] == len(made)
    assert made.n_bytes == sum(len(document.text.encode()) for document in documents)
    assert np.count_nonzero(made.tokens == tokenizer.eos_id) == len(documents)
    for document, start, end in zip(documents, made.document_offsets, made.document_offsets[1:], strict=False):
        assert made.tokens[end - 1] == tokenizer.eos_id
        content = b"".join(tokenizer.token_bytes[token] for token in made.tokens[start : end - 1])
        assert content.decode() == document.text
    again = token_stream(corpora[0], "train", tokenizer, workspace)
    assert np.array_equal(again.tokens, made.tokens)


def test_the_separator_is_part_of_what_a_stream_is(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    tokenizer = load_tokenizer(Tokenizer(train_on=corpora, vocab_size=300), workspace)
    texts = [document.text for document in snapshot(corpora[0], workspace).documents("train")]
    written = {"eos": tokenizer.eos_token, "newline": "\n", "none": ""}
    made = {kind: token_stream(corpora[0], "train", tokenizer, workspace, kind) for kind in written}
    for kind, separator in written.items():
        stream, ends = made[kind], made[kind].document_offsets
        read = [
            b"".join(tokenizer.token_bytes[token] for token in stream.tokens[start:end])
            for start, end in pairwise(ends)
        ]
        assert [content.decode() for content in read] == [text + separator for text in texts]
    assert len(set(map(len, made.values()))) > 1
    assert len({stream.n_bytes for stream in made.values()}) == 1
    assert len(list((workspace.cache / "tokens").iterdir())) == 3


def test_an_empty_split_is_an_empty_stream(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    corpus = corpora[0].model_copy(update={"valid_share": 0.0})
    tokenizer = load_tokenizer(Tokenizer(train_on=(corpus,), vocab_size=300), workspace)
    made = token_stream(corpus, "valid", tokenizer, workspace)
    assert len(made) == made.n_bytes == 0
