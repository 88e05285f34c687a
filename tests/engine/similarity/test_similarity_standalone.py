"""Comparisons of files, without a workspace: values, what they rest on, one message for an error."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.spatial.distance

from engine.audit.pieces import split_pieces
from engine.data.tokenizer import load_tokenizer
from engine.evaluate.canary import CanaryError
from engine.similarity.piece_tokenizer import PieceTokenizer
from engine.similarity.standalone import compare
from engine.similarity.texts import PIECE_CHARACTERS, ExcerptTokens, cut, read_excerpt
from engine.spec.resemblance import Resemblance, Side
from engine.spec.run import Corpus, Model, Tokenizer
from store.errors import ConfigError, DataError
from store.workspace import Workspace
from tests.support.resembling import WORDS, write_texts
from tests.support.sentences import install_fake_encoder
from tests.support.states import save_tiny_state


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def state(texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 64 tokens' context with its tokenizer, as a run saves it."""
    workspace = Workspace.create(tmp_path_factory.mktemp("model") / "workspace")
    spec = Tokenizer(train_on=(Corpus(name="base", source=str(texts["base"])),), vocab_size=300)
    return save_tiny_state(workspace, load_tokenizer(spec, workspace), "pretrain-a", "ptpp2")


def ask(texts: dict[str, Path], domains: tuple[str, ...] = ("near", "far"), **options: Any) -> dict[str, Any]:
    request = Resemblance(
        reference=Side(name="base", files=(str(texts["base"]),)),
        domains=tuple(Side(name=name, files=(str(texts[name]),)) for name in domains),
        **{"samples": 64, "sample_tokens": 16, "bootstrap": 40, "device": "cpu", **options},
    )
    return compare(request, lambda phase, done, total: None)


def values(result: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["measure"], row["embedder"], row["domain"]): row for row in result["rows"]}


def test_without_any_model_the_near_text_is_nearer(texts) -> None:
    result = ask(texts, measures=("jsd", "ngram_overlap", "cosine", "l2", "mmd2", "c2st"))
    found = values(result)
    assert len(found) == 12
    for measure, embedder, domain in found:
        row = found[measure, embedder, domain]
        assert row["low"] <= row["value"] <= row["high"]
        assert (row["encoder"], row["n_samples"], row["reference"]) == ("pieces", 64, "base")
        sign = 1 if row["higher_is_closer"] else -1
        assert sign * found[measure, embedder, "near"]["value"] > sign * found[measure, embedder, "far"]["value"]
    assert result["settings"]["tokenizer"] == "pieces"
    assert result["versions"]["numpy"] == np.__version__
    assert [text["documents"] for text in result["texts"]] == [40, 40, 40]
    assert result["left_out"] == result["notes"] == []
    assert ask(texts, measures=("jsd",))["rows"][0] == found["jsd", "tokens", "near"]


def test_all_of_a_small_text_is_a_value_by_hand(tmp_path: Path) -> None:
    """As many samples as the texts hold: nothing is left to chance."""
    for name, words in WORDS.items():
        (tmp_path / f"{name}.txt").write_text((words + " ") * 40)
    paths = {name: tmp_path / f"{name}.txt" for name in WORDS}
    pieces = {name: split_pieces(path.read_text()) for name, path in paths.items()}
    count = min(len(found) // 10 for found in pieces.values())
    p, q = (Counter(pieces[name][: count * 10]) for name in ("base", "near"))
    every = sorted(p | q)
    expected = scipy.spatial.distance.jensenshannon([p[x] for x in every], [q[x] for x in every], base=2) ** 2
    # Other windows may be drawn of the longer text; here all of them hold the same words equally often.
    result = ask(paths, ("near",), measures=("jsd",), samples=10_000, sample_tokens=10)
    assert result["rows"][0]["value"] == pytest.approx(expected, abs=2e-3)
    assert result["rows"][0]["n_samples"] == count
    assert result["notes"] == [f"{count} samples of each text, not 10000: the smallest holds no more"]


def test_adding_a_domain_or_renaming_the_reference_leaves_the_others(texts) -> None:
    both, alone = (values(ask(texts, domains, measures=("jsd",))) for domains in (("far", "near"), ("near",)))
    assert both["jsd", "tokens", "near"] == alone["jsd", "tokens", "near"]


def test_a_model_brings_its_tokens_hidden_states_and_losses(texts, state: Path) -> None:
    result = ask(texts, model=Model(source=str(state)))
    found = values(result)
    assert {(m, e) for m, e, _ in found} == {
        ("jsd", "tokens"),
        ("cosine", "model"),
        ("mmd2", "model"),
        ("c2st", "model"),
        ("zero_shot", "base"),
    }
    assert {row["encoder"] for row in found.values()} == {str(state)}
    assert result["settings"]["model"] == str(state)
    losses = found["zero_shot", "base", "near"]
    # An untrained model: about the logarithm of its vocabulary.
    assert losses["low"] < losses["value"] < losses["high"]
    assert losses["value"] == pytest.approx(np.log(300), abs=0.2)
    assert ask(texts, model=Model(source=str(state)), sample_tokens=None)["settings"]["sample_tokens"] == 64


def test_a_shorter_context_makes_shorter_samples(texts, tmp_path: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    spec = Tokenizer(train_on=(Corpus(name="base", source=str(texts["base"])),), vocab_size=300)
    tokenizer = load_tokenizer(spec, Workspace.create(tmp_path / "workspace"))
    folder = tmp_path / "model"
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=24, n_embd=8, n_layer=1, n_head=2)).save_pretrained(folder)
    PreTrainedTokenizerFast.from_pretrained(tokenizer.path).save_pretrained(folder)
    model = Model(source=str(folder))
    assert ask(texts, model=model, sample_tokens=None, measures=("l2",))["settings"]["sample_tokens"] == 24
    with pytest.raises(DataError, match="reads 24 tokens at once, windows have 25") as caught:
        ask(texts, model=model, sample_tokens=25, measures=("l2",))
    assert "24 tokens long" in caught.value.hint


def test_sentence_encoders_get_the_texts_themselves(texts, monkeypatch) -> None:
    seen = install_fake_encoder(monkeypatch)
    found = values(ask(texts, embedders=("sentence", "ngrams"), measures=("l2",), sentence_model="tiny"))
    assert found["l2", "sentence", "near"]["encoder"] == "tiny"
    assert found["l2", "sentence", "near"]["value"] < found["l2", "sentence", "far"]["value"]
    assert any("SELECT" in text or "HAVING" in text for text in seen)
    assert len(seen) == 3 * 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"measures": ("cosin",)}, ("no measure 'cosin'", "Did you mean cosine?")),
        ({"embedders": ("ngram",)}, ("no embedder 'ngram'", "Did you mean ngrams?")),
        ({"embedders": ("model",)}, ("embedder model needs a model", "--model")),
        ({"measures": ("zero_shot",)}, ("measure zero_shot needs a model", "--model")),
        ({"sample_tokens": 5000}, ("too little text", "similarity needs 8", "shorter samples")),
        ({"measures": ("frechet",)}, ("no measure could be computed", "2048 samples")),
        ({"tokenizer": "/none"}, ("tokenizer '/none' could not be loaded",)),
    ],
)
def test_what_cannot_work_is_said_once(texts, options: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        ask(texts, **options)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.hint


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="it is installed")
def test_an_encoder_that_is_not_installed_comes_with_how_to_install_it(texts) -> None:
    with pytest.raises(ConfigError, match="not installed") as caught:
        ask(texts, embedders=("sentence",))
    assert "odyssey-tui[sentence]" in caught.value.hint
    assert ask(texts, embedders=("sentence",), measures=("jsd",))["notes"] == [
        "no vectors of sentence: the measures asked for read none"
    ]


def test_a_refused_measure_leaves_the_others(texts) -> None:
    result = ask(texts, measures=("frechet", "jsd"))
    assert {row["measure"] for row in result["rows"]} == {"jsd"}
    (told,) = result["left_out"]
    assert told.startswith("frechet with ngrams left out: frechet needs at least 2048 samples")


def test_the_tokenizer_must_be_the_models(texts, state: Path, tmp_path: Path) -> None:
    spec = Tokenizer(train_on=(Corpus(name="far", source=str(texts["far"])),), vocab_size=280)
    other = load_tokenizer(spec, Workspace.create(tmp_path / "workspace"))
    model = Model(source=str(state))
    with pytest.raises(DataError, match="is not the tokenizer of") as caught:
        ask(texts, model=model, tokenizer=str(other.path))
    assert "--tokenizer out" in caught.value.hint
    own = ask(texts, model=model, tokenizer=str(state), measures=("jsd",))
    assert own["rows"][0]["value"] == ask(texts, model=model, measures=("jsd",))["rows"][0]["value"]
    alone = ask(texts, tokenizer=str(other.path), measures=("jsd",))
    assert alone["settings"]["tokenizer"] == str(other.path)


def test_a_state_whose_weights_were_replaced_is_recognised(texts, state: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "state"
    shutil.copytree(state, copy)
    facts = json.loads((copy / "odyssey.json").read_text())
    (copy / "odyssey.json").write_text(json.dumps({**facts, "canary_loss": 1.0}))
    with pytest.raises(CanaryError, match="the weights of pretrain-a@ptpp2"):
        ask(texts, model=Model(source=str(copy)))


def test_vectors_that_are_not_finite_are_one_message(texts, monkeypatch) -> None:
    install_fake_encoder(monkeypatch)
    with pytest.raises(DataError, match="broken: embeddings are not finite"):
        ask(texts, embedders=("sentence",), sentence_model="broken")


def test_copies_of_the_reference_are_told(texts) -> None:
    copied = {**texts, "near": texts["base"]}
    assert ask(copied, measures=("jsd",))["notes"] == ["near shares 40 of its 40 documents with the reference"]


def test_a_large_text_is_read_in_part_but_from_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl.gz"
    with gzip.open(path, "wt") as stream:
        stream.writelines(json.dumps({"text": f"d{number} " * 1500}) + "\n" for number in range(60))
    excerpt = read_excerpt([str(path)], 60_000, seed=0)
    kept = sum(len(piece) for piece in excerpt.pieces)
    assert 60_000 <= kept < 60_000 + PIECE_CHARACTERS
    assert excerpt.n_documents == 60
    assert excerpt.n_characters > 4 * kept
    assert len(set(excerpt.documents.tolist())) > 20
    assert (np.diff(excerpt.documents) >= 0).all()
    tokens = ExcerptTokens.of(excerpt, PieceTokenizer())
    assert len(tokens.document_offsets) == len(set(excerpt.documents.tolist())) + 1
    assert tokens.document_offsets[-1] == len(tokens.tokens)
    for piece, number in zip(excerpt.pieces, excerpt.documents, strict=True):
        assert set(piece.split()) == {f"d{number}"}


def test_a_small_text_is_kept_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two\nthree " * 500)
    excerpt = read_excerpt([str(tmp_path / "a.txt")], 10_000, seed=0)
    assert "".join(excerpt.pieces) == "one two\nthree " * 500
    assert all(len(piece) <= PIECE_CHARACTERS for piece in cut("x" * 5000))
    assert "".join(cut("x" * 5000)) == "x" * 5000


def test_a_folder_is_read_without_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words here\n" * 50)
    (tmp_path / "b.txt").write_bytes("où".encode("latin-1"))
    excerpt = read_excerpt([str(tmp_path)], 10_000, seed=0)
    assert "".join(excerpt.pieces) == "some words here\n" * 50
    assert excerpt.notes == ("1 skipped: not UTF-8 (first: b.txt)",)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(DataError, match="no text; 1 skipped: not UTF-8"):
        read_excerpt([str(tmp_path)], 10_000, seed=0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "there is no file .*none.txt"),
        ("latin.txt", "où".encode("latin-1"), "not UTF-8: .* at byte 1"),
        ("empty.txt", b"", "no text"),
        ("blank.jsonl", b'{"text": " "}\n', "no text"),
        ("other.jsonl", b'{"body": "x"}\n', "no field 'text'"),
    ],
)
def test_files_that_cannot_be_read(texts, tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        ask({**texts, "near": tmp_path / name})


def test_pieces_are_the_same_tokens_everywhere_and_the_text_again() -> None:
    tokenizer = PieceTokenizer()
    (ids,) = tokenizer.encode(["The ship left, 12 sails.\nThe ship"])
    (again,) = PieceTokenizer().encode(["left The ship"])
    assert ids[-1] == ids[1] == again[2]
    assert tokenizer.decode(ids[None]) == ["The ship left, 12 sails.\nThe ship"]
    assert ids.min() >= 0
    (han,) = tokenizer.encode(["船は島へ着いた"])
    assert len(han) == 7
    assert tokenizer.decode(han[None]) == ["船は島へ着いた"]
