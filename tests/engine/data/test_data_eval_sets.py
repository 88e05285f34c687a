"""Evaluation sets: every token knows its document and its bytes, corpora have equal shares."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from engine.data.corpus import snapshot
from engine.data.eval_sets import TokenisedEvalSet, join_lines, tokenise_eval_set
from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.spec.run import Corpus, EvalSet, Tokenizer
from store.errors import DataError
from store.shards import BLOCK_TOKENS, schemas
from store.workspace import Workspace


@pytest.fixture
def tokenizer(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> LoadedTokenizer:
    return load_tokenizer(Tokenizer(train_on=corpora, vocab_size=300), workspace)


def texts(corpora: tuple[Corpus, ...], workspace: Workspace) -> dict[tuple[str, str], bytes]:
    return {
        (corpus.name, document.doc_id): document.text.encode()
        for corpus in corpora
        for document in snapshot(corpus, workspace).documents("test")
    }


def check_bytes(made: TokenisedEvalSet, tokenizer: LoadedTokenizer, known: dict[tuple[str, str], bytes]) -> None:
    for number, (corpus, doc_id, n_bytes) in enumerate(made.documents):
        of_document = made.document == number
        starts, ends = made.byte_start[of_document], made.byte_end[of_document]
        assert starts[0] == 0
        assert np.array_equal(starts[1:], ends[:-1])
        assert ends[-1] == n_bytes
        text = known[corpus, doc_id]
        for token, start, end in zip(made.tokens[of_document], starts, ends, strict=True):
            assert tokenizer.token_bytes[token] == text[start:end]
    assert made.n_bytes == sum(n_bytes for _, _, n_bytes in made.documents)
    assert np.all(np.diff(made.document) >= 0)


def test_one_corpus_whole(workspace: Workspace, corpora: tuple[Corpus, Corpus], tokenizer: LoadedTokenizer) -> None:
    made = tokenise_eval_set(EvalSet(name="t", role="target", corpora=corpora[:1]), tokenizer, workspace)
    known = texts(corpora[:1], workspace)
    check_bytes(made, tokenizer, known)
    assert made.n_bytes == sum(map(len, known.values()))
    assert made.n_documents == len(known)
    assert tokenizer.eos_id not in made.tokens
    (whole,) = tokenizer.encode([next(snapshot(corpora[0], workspace).documents("test")).text])
    assert made.tokens[: len(whole)].tolist() == whole.tolist()


@pytest.mark.parametrize("max_tokens", [None, 501, 1500])
def test_two_corpora_in_equal_shares(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tokenizer: LoadedTokenizer, max_tokens: int | None
) -> None:
    spec = EvalSet(name="b", role="base", corpora=corpora, max_tokens=max_tokens)
    made = tokenise_eval_set(spec, tokenizer, workspace)
    check_bytes(made, tokenizer, texts(corpora, workspace))
    shares = {"near": 0, "far": 0}
    running = []
    for number, (corpus, _, _) in enumerate(made.documents):
        shares[corpus] += int(np.count_nonzero(made.document == number))
        running.append(abs(shares["near"] - shares["far"]))
    assert abs(shares["near"] - shares["far"]) <= (0 if max_tokens is None else max_tokens % 2)
    longest = max(np.bincount(made.document))
    assert max(running) <= longest
    if max_tokens is not None:
        assert len(made.tokens) == max_tokens


def test_bytes_are_the_same_text_whatever_the_tokenizer(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tokenizer: LoadedTokenizer
) -> None:
    other = load_tokenizer(Tokenizer(train_on=corpora, vocab_size=400), workspace)
    for spec in (
        EvalSet(name="b", role="base", corpora=corpora, max_bytes=2001),
        EvalSet(name="t", role="target", corpora=corpora[:1], max_bytes=1999),
        EvalSet(name="all", role="base", corpora=corpora, max_bytes=10**9),
    ):
        one, two = (tokenise_eval_set(spec, each, workspace) for each in (tokenizer, other))
        check_bytes(one, tokenizer, texts(corpora, workspace))
        assert len(one.tokens) > len(two.tokens)
        assert one.documents == two.documents
        shares = {name: sum(size for corpus, _, size in one.documents if corpus == name) for name in ("near", "far")}
        if spec.max_bytes == 10**9:  # the shorter corpus has all its text in it
            whole = [sum(len(d.text.encode()) for d in snapshot(c, workspace).documents("test")) for c in corpora]
            assert min(shares.values()) == min(whole)
        else:
            # What is cut lies in a text of made-up words: no character is lost.
            assert one.n_bytes == spec.max_bytes // len(spec.corpora) * len(spec.corpora)
        assert len(spec.corpora) == 1 or shares["near"] == shares["far"]


def test_the_id_is_of_the_content(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tokenizer: LoadedTokenizer
) -> None:
    def eval_set_id(**changes: object) -> str:
        spec = EvalSet(name="b", role="base", corpora=corpora).model_copy(update=changes)
        return tokenise_eval_set(spec, tokenizer, workspace).eval_set_id

    same = eval_set_id()
    assert eval_set_id(name="other", role="target") == same
    different = [eval_set_id(max_tokens=100), eval_set_id(split="valid"), eval_set_id(corpora=corpora[:1])]
    different += [eval_set_id(max_bytes=100)]
    assert len({same, *different}) == 5


def test_the_cached_set_and_its_shards(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tokenizer: LoadedTokenizer
) -> None:
    spec = EvalSet(name="b", role="base", corpora=corpora)
    first, cached = (tokenise_eval_set(spec, tokenizer, workspace) for _ in range(2))
    for name in ("tokens", "document", "byte_start", "byte_end"):
        assert np.array_equal(getattr(first, name), getattr(cached, name))
        assert getattr(first, name).dtype == getattr(cached, name).dtype
    assert cached.documents == first.documents
    assert first.table().cast(schemas()["eval_set"]).num_rows == -(-len(first.tokens) // BLOCK_TOKENS) > 1
    assert first.documents_table().cast(schemas()["documents"]).num_rows == first.n_documents
    rows = first.table().to_pylist()
    assert [token for row in rows for token in row["token_ids"]] == first.tokens.tolist()
    assert all(len(row["token_ids"]) == BLOCK_TOKENS for row in rows[:-1])


def test_an_empty_split_is_refused(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tokenizer: LoadedTokenizer
) -> None:
    corpus = corpora[0].model_copy(update={"test_share": 0.0})
    with pytest.raises(DataError, match="test split of corpus 'near' is empty") as error:
        tokenise_eval_set(EvalSet(name="t", role="target", corpora=(corpus,)), tokenizer, workspace)
    assert "test_share" in error.value.hint


def test_a_tokenizer_that_is_not_byte_level_covers_every_byte_too(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tmp_path: Path
) -> None:
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = ["<unk>", "</s>", *byte_tokens, *"▁thefo", "▁t", "▁th", "▁the"]
    fast = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {piece: number for number, piece in enumerate(pieces)},
            [("▁", "t"), ("▁t", "h"), ("▁th", "e")],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    fast.add_special_tokens(["<unk>", "</s>"])
    fast.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")]
    )
    folder = tmp_path / "llama-like"
    folder.mkdir()
    fast.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(Tokenizer(model=str(folder)), workspace)
    assert not tokenizer.byte_level
    made = tokenise_eval_set(EvalSet(name="t", role="target", corpora=corpora[:1]), tokenizer, workspace)
    known = texts(corpora[:1], workspace)
    assert made.n_bytes == sum(map(len, known.values()))
    for number, (_, _, n_bytes) in enumerate(made.documents):
        starts, ends = (column[made.document == number] for column in (made.byte_start, made.byte_end))
        assert starts[0] == 0
        assert np.array_equal(starts[1:], ends[:-1])
        assert np.all(starts <= ends)
        assert ends[-1] == n_bytes
    the = tokenizer.fast.token_to_id("▁the")
    places = np.flatnonzero(made.tokens == the)
    assert len(places) > 20
    for place in places:
        text = known["near", made.documents[made.document[place]][1]]
        assert text[made.byte_start[place] : made.byte_end[place]].strip() == b"the"
    assert tokenizer.token_bytes[the] == b" the"
    assert tokenizer.token_bytes[tokenizer.fast.token_to_id("<0x0A>")] == b"\n"


def test_lines_joined_by_spaces_are_another_set_of_the_same_words(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tokenizer: LoadedTokenizer
) -> None:
    as_it_is = EvalSet(name="t", role="target", corpora=corpora[:1])
    made = [
        tokenise_eval_set(spec, tokenizer, workspace)
        for spec in (as_it_is, as_it_is.model_copy(update={"join": "space"}))
    ]
    text = [b"".join(tokenizer.token_bytes[token] for token in one.tokens).decode() for one in made]
    assert "\n" in text[0]
    assert "\n" not in text[1]
    assert [len(one.documents) for one in made] == [made[0].n_documents] * 2
    by_document = [
        b"".join(tokenizer.token_bytes[token] for token in one.tokens[one.document == 0]).decode() for one in made
    ]
    assert by_document[1].split() == by_document[0].split()
    assert made[0].eval_set_id != made[1].eval_set_id
    assert made[0].fingerprint != made[1].fingerprint


@pytest.mark.parametrize(
    ("text", "joined"),
    [(" a \n\n b\n", "a b "), ("a\nb", "a b"), ("\n", ""), ("one", "one")],
)
def test_joining_lines(text: str, joined: str) -> None:
    assert join_lines(text) == joined
