"""Tokenizers: reproducible training, exact bytes, classes of tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import engine.data.tokenizer as module
from engine.data.token_bytes import byte_alphabet, byte_ends
from engine.data.token_classes import classify, readable
from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.data.tokens import token_stream
from engine.spec.run import Corpus, Tokenizer
from store.errors import DataError
from store.workspace import Workspace

TRICKY = "naïve  漢字\n\n\tdon't \x00 <|endoftext|> \\n 🙂\n "


@pytest.fixture
def trained(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> LoadedTokenizer:
    return load_tokenizer(Tokenizer(train_on=corpora, vocab_size=320), workspace)


def test_training_is_reproducible_in_another_process(
    trained: LoadedTokenizer, corpora: tuple[Corpus, Corpus], tmp_path: Path
) -> None:
    code = (
        "import sys; from engine.data.tokenizer import load_tokenizer; from engine.spec.run import Tokenizer; "
        "from store.workspace import Workspace; "
        "print(load_tokenizer(Tokenizer.model_validate_json(sys.argv[1]), Workspace.create(sys.argv[2])).tokenizer_id)"
        "; assert 'transformers' not in sys.modules and 'torch' not in sys.modules"
    )
    spec = Tokenizer(train_on=corpora, vocab_size=320).model_dump_json()
    command = [sys.executable, "-c", code, spec, str(tmp_path / "other")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert printed == trained.tokenizer_id
    assert trained.vocab_size == 320


def test_tokens_concatenate_to_the_bytes_of_the_text(trained: LoadedTokenizer) -> None:
    (ids,) = trained.encode([TRICKY])
    assert b"".join(trained.token_bytes[token] for token in ids) == TRICKY.encode()
    assert trained.eos_id not in ids
    assert ids.dtype == np.uint16


def test_transformers_reads_the_folder_and_agrees(trained: LoadedTokenizer) -> None:
    text = "alpha beta  the naïve 漢字\n\n of"
    assert trained.hf.eos_token_id == trained.eos_id
    assert len(trained.hf) == trained.vocab_size
    assert trained.hf(text, add_special_tokens=False).input_ids == next(trained.encode([text])).tolist()
    assert trained.hf.decode(next(trained.encode([text]))) == text


def test_a_long_text_in_pieces_has_the_same_tokens(
    trained: LoadedTokenizer, monkeypatch: pytest.MonkeyPatch, prose: Callable[[int, int], str]
) -> None:
    text = f"{prose(1, 3000)}\n\n  indented\n\n{prose(2, 3000)}   \n{TRICKY}"
    (whole,) = trained.encode([text])
    monkeypatch.setattr(module, "PIECE_BYTES", 64)
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    pieces = list(trained.encode([text, "", TRICKY]))
    assert pieces[0].tolist() == whole.tolist()
    assert len(pieces[1]) == 0
    assert len(pieces) == 3


def test_each_corpus_gives_its_share_of_the_training_text(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = list(module._training_texts(Tokenizer(train_on=corpora, train_bytes=8000), workspace))
    assert sum(len(text.encode()) for text in texts) in range(7990, 8001)
    alone = list(module._training_texts(Tokenizer(train_on=corpora[:1], train_bytes=4000), workspace))
    assert texts[: len(alone)] == alone


def test_a_pretrained_folder_is_the_same_tokenizer(
    trained: LoadedTokenizer, workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "pretrained"
    trained.hf.save_pretrained(folder)
    loaded = load_tokenizer(Tokenizer(model=str(folder)), workspace)
    assert (loaded.tokenizer_id, loaded.eos_id, loaded.byte_level) == (trained.tokenizer_id, trained.eos_id, True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="no end-of-text token"):
        load_tokenizer(Tokenizer(model=str(folder), revision="other"), workspace)


def test_what_cannot_be_a_tokenizer_is_said_so(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="could not be loaded"):
        load_tokenizer(Tokenizer(model=str(tmp_path)), workspace)
    with pytest.raises(DataError, match="neither a pretrained model nor corpora"):
        load_tokenizer(Tokenizer(), workspace)
    with pytest.raises(DataError, match="fewer than the 257"):
        load_tokenizer(Tokenizer(train_on=corpora, vocab_size=100), workspace)


def test_the_vocabulary_is_readable_and_classed(trained: LoadedTokenizer) -> None:
    table = trained.vocabulary()
    assert table["token_id"].to_pylist() == list(range(320))
    rows = {row["text"]: row["token_class"] for row in table.to_pylist()}
    assert rows["<|endoftext|>"] == "special"
    assert rows["\\n"] == "newline"
    assert rows[" "] == "whitespace"
    assert rows[" the"] == "function"
    assert rows["\\xe6"] == "other"
    assert rows["\\\\"] == "punctuation"
    assert len(rows) == 320


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\n  ", "newline"),
        ("\t ", "whitespace"),
        ("\u00a0", "whitespace"),
        (" The", "function"),
        ("’s", "function"),
        (" I", "function"),
        (" i", "word"),
        ("in", "word"),
        (" in", "function"),
        ("In", "function"),
        ("self", "word"),
        ("x1", "word"),
        (" 3.5", "digits"),
        (").\n", "newline"),
        (" {\r\n\r\n", "newline"),
        ("}\n}", "newline"),
        ("end\n", "word"),
        ("1\n", "digits"),
        ("- -", "punctuation"),
        ("+=", "punctuation"),
        ("字", "word"),
        ("\x07", "other"),
        ("", "other"),
    ],
)
def test_token_classes(text: str, expected: str) -> None:
    assert classify(text.encode()) == expected


def test_marks_merged_with_a_line_end_are_newlines_end_to_end(workspace: Workspace, tmp_path: Path) -> None:
    from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Fast

    # The marks-and-line-ends part of Llama 3's pre-tokenizer.
    split = pre_tokenizers.Split(Regex(r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"), "isolated")
    fast = Fast(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    fast.decoder = decoders.ByteLevel()
    text = "call(x);\nreturn y;\n\nstop.\n"
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    fast.train_from_iterator([text] * 20, trainer)
    fast.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>"}'
    )
    loaded = load_tokenizer(Tokenizer(model=str(tmp_path)), workspace)
    (ids,) = loaded.encode([text])
    ends = [(loaded.token_bytes[token], loaded.token_classes[token]) for token in ids if token in _line_ends(loaded)]
    assert ends == [(b");\n", "newline"), (b";\n\n", "newline"), (b".\n", "newline")]
    corpus_file = tmp_path / "text.jsonl"
    corpus_file.write_text('{"text": "one stop."}\n{"text": "two stop."}\n')
    corpus = Corpus(name="c", source=str(corpus_file), test_share=0, valid_share=0)
    stream = token_stream(corpus, "train", loaded, workspace, "newline")
    assert [token for token in stream.tokens if token in _line_ends(loaded)] == [loaded.token_bytes.index(b".\n")] * 2


def _line_ends(tokenizer: LoadedTokenizer) -> set[int]:
    return {index for index, content in enumerate(tokenizer.token_bytes) if b"\n" in content}


def test_pieces_of_characters_and_special_tokens() -> None:
    assert classify("é".encode()[:1]) == "other"
    assert classify(b"<s>", special=True) == "special"
    assert readable("é\n\\".encode() + b"\xc3") == "é\\n\\\\\\xc3"
    assert readable("\u200b\U000e0001".encode()) == "\\u200b\\U000e0001"


def test_the_byte_alphabet_is_the_tokenizers_own() -> None:
    from tokenizers import pre_tokenizers

    alphabet = byte_alphabet()
    assert set(alphabet) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(alphabet.values()) == list(range(256))
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(TRICKY)
    assert bytes(alphabet[character] for piece, _ in pieces for character in piece) == TRICKY.encode()


def test_byte_ends_from_offsets_cover_the_text_without_gap() -> None:
    # Two tokens of one character (byte fallback), a dropped space, a last token that stops early.
    text = "é 字x!"
    ends = byte_ends(text, np.zeros(5, np.int64), np.empty(0, np.int64), [(0, 1), (2, 3), (2, 3), (3, 4), (4, 4)])
    assert ends.tolist() == [3, 3, 6, 7, 8]
    assert ends[-1] == len(text.encode())
    assert np.all(np.diff(ends) >= 0)
