from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.similarity.sentence import SentenceEmbedder, decoder_of, require_library
from engine.spec.run import Corpus, Tokenizer
from store.errors import ConfigError, DataError
from store.workspace import Workspace
from tests.support.sentences import install_fake_encoder

TEXT = "the ship left the island; là-bas, une île 島へ着いた\n"


@pytest.fixture
def tokenizer(tmp_path) -> LoadedTokenizer:
    (tmp_path / "text.txt").write_text(TEXT * 50)
    spec = Tokenizer(train_on=(Corpus(name="text", source=str(tmp_path / "text.txt"), test_share=0),), vocab_size=300)
    return load_tokenizer(spec, Workspace.create(tmp_path / "workspace"))


def test_windows_become_text_again(tokenizer) -> None:
    (ids,) = tokenizer.encode([TEXT])
    decode = decoder_of(tokenizer)
    assert decode(ids[None]) == [TEXT.strip()]
    ends = np.concatenate([ids, [tokenizer.eos_id], ids])[None]
    assert decode(ends) == [f"{TEXT}\n{TEXT.strip()}"]


def test_half_characters_at_the_edges_are_left_out(tokenizer) -> None:
    (ids,) = tokenizer.encode(["島" * 4])
    starts = [decoder_of(tokenizer)(ids[start : start + 2][None])[0] for start in range(len(ids) - 1)]
    assert set("".join(starts)) <= {"島"}


def test_vectors_are_the_encoders_own(tokenizer, monkeypatch) -> None:
    seen = install_fake_encoder(monkeypatch)
    (ids,) = tokenizer.encode([TEXT])
    embedder = SentenceEmbedder("tiny", decoder_of(tokenizer), tokenizer.tokenizer_id, "cpu")
    vectors = embedder.embed(np.stack([ids, ids[::-1]]))
    assert vectors.dtype == np.float32
    assert vectors.shape == (2, 26)
    assert seen[0] == TEXT.strip()
    assert embedder.encoder == "tiny"
    other = SentenceEmbedder("tiny", decoder_of(tokenizer), "another", "cpu")
    assert other.identity != embedder.identity


def test_a_model_that_cannot_be_had_is_one_message(tokenizer, monkeypatch) -> None:
    install_fake_encoder(monkeypatch)
    with pytest.raises(DataError, match=r"sentence encoder '/none' could not be loaded: /none is no local folder\n"):
        SentenceEmbedder("/none", decoder_of(tokenizer), tokenizer.tokenizer_id, "cpu")


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is not None, reason="it is installed")
def test_a_missing_library_comes_with_how_to_install_it() -> None:
    with pytest.raises(ConfigError, match="which is not installed") as caught:
        require_library()
    assert "pip install 'odyssey-tui[sentence]'" in caught.value.hint


def test_a_real_encoder_is_asked_as_the_library_wants(tokenizer, tmp_path) -> None:
    """Runs where the extra is installed: a tiny encoder, built here."""
    library = pytest.importorskip("sentence_transformers")
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "base")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(tmp_path / "base")
    library.SentenceTransformer(str(tmp_path / "base"), device="cpu").save(str(tmp_path / "encoder"))
    (ids,) = tokenizer.encode([TEXT])
    embedder = SentenceEmbedder(str(tmp_path / "encoder"), decoder_of(tokenizer), tokenizer.tokenizer_id, "cpu")
    vectors = embedder.embed(np.stack([ids[:10], ids[2:12]]))
    expected = library.SentenceTransformer(str(tmp_path / "encoder"), device="cpu").encode(
        decoder_of(tokenizer)(np.stack([ids[:10], ids[2:12]]))
    )
    assert vectors.shape == (2, 16)
    assert vectors == pytest.approx(expected, abs=1e-5)
