"""Files as an audit reads them, and the process that audits them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from engine.audit.files import read_files
from engine.audit.standalone import audit
from engine.spec.auditing import Auditing
from engine.spec.run import Tokenizer
from store.errors import DataError
from tests.support.audit_texts import make_documents, strip_lines

LIMIT = 1_000_000


def write_lines(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def run(**asked: Any) -> dict[str, Any]:
    (found,) = audit(Auditing(**asked), lambda phase, done, total: None)["audits"]
    return found


def codes(found: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in found["findings"]}


@pytest.fixture
def english(tmp_path: Path) -> Path:
    """A byte-level BPE trained on the clean texts, as a folder."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers, trainers

    fast = Fast(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    fast.train_from_iterator(make_documents(1), trainer)
    folder = tmp_path / "english"
    folder.mkdir()
    fast.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_damage_is_counted_where_training_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("où là été ".encode("latin-1") + b"a" * 90)
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfgood\r\n\0")
    found = read_files([str(tmp_path / "latin.txt"), str(tmp_path / "bom.txt")], LIMIT)
    assert found.reading.invalid_bytes == 4
    assert found.documents[1] == "\ufeffgood\r\n\0"
    assert found.reading.cut_at is None


def test_reading_stops_at_the_limit_without_cutting_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("é🚢".encode() * 50))
    for limit in range(20, 27):
        found = read_files([str(path)], limit)
        assert found.reading.invalid_bytes == 0
        assert found.reading.cut_at == limit
        assert limit - 3 <= len(found.documents[0].encode()) <= limit
    many = write_lines(tmp_path / "a.jsonl", ["x" * 10] * 10)
    assert len(read_files([many], 35).documents) == 4


def test_a_folder_is_read_as_training_does(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("text")
    (folder / "b.bin").write_bytes(b"a\0b")
    found = read_files([str(folder)], LIMIT)
    assert found.documents == ["text"]
    assert found.reading.skipped == ("1 skipped: binary (first: b.bin)",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "there is no file .*none.txt"),
        ("empty.txt", b"", "is empty"),
        ("empty.jsonl", b'{"text": ""}\n', "no text that can be read"),
        ("wide.txt", "text".encode("utf-16"), "is UTF-16"),
        ("model.bin", bytes(range(256)) * 9, "is no text"),
        ("other.jsonl", b'{"body": "x"}\n', "no field 'text'"),
    ],
)
def test_what_cannot_be_read_is_one_message(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as refused:
        read_files([str(tmp_path / name)], LIMIT)
    assert refused.value.hint


def test_a_folder_with_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.bin").write_bytes(b"\0\1")
    with pytest.raises(DataError, match="holds no text that can be read: 1 skipped: binary"):
        read_files([str(tmp_path / "only")], LIMIT)


def test_files_with_and_without_a_tokenizer(tmp_path: Path, english: Path) -> None:
    train = write_lines(tmp_path / "train.jsonl", [strip_lines(text) for text in make_documents(1)])
    evaluation = write_lines(tmp_path / "eval.jsonl", make_documents(2, 20))
    for tokenizer in (None, Tokenizer(model=str(english))):
        found = run(train=(train,), evaluation=(evaluation,), tokenizer=tokenizer, base=(train,))
        assert found["level"] == "serious"
        assert found["findings"][0]["token_class"] == "newline"
        newline = next(row for row in found["classes"] if row["token_class"] == "newline")
        assert (newline["train"], newline["evaluation"]) == (0, sum(text.count("\n") for text in make_documents(2, 20)))
    assert found["tokenizer"] == str(english)
    clean = write_lines(tmp_path / "clean.jsonl", make_documents(1))
    for tokenizer in (None, Tokenizer(model=str(english))):
        found = run(train=(clean,), evaluation=(evaluation,), tokenizer=tokenizer)
        assert codes(found) <= {"small"}


def test_the_same_file_twice_is_said(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", make_documents(1))
    found = run(train=(path,), evaluation=(path,))
    assert "100 % duplicates" in found["findings"][0]["message"]


def test_a_script_that_the_tokenizer_lacks(tmp_path: Path, english: Path) -> None:
    clean = write_lines(tmp_path / "clean.jsonl", make_documents(1))
    arabic = str.maketrans("abcdefghilmnoprstu", "ابتثجحخدذرزسشصضطظع")
    foreign = write_lines(tmp_path / "arabic.jsonl", [text.translate(arabic) for text in make_documents(2, 20)])
    found = run(train=(clean,), evaluation=(foreign,), tokenizer=Tokenizer(model=str(english)))
    assert "script" in codes(found)


def test_no_such_tokenizer(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", make_documents(1))
    with pytest.raises(DataError, match="nowhere' could not be loaded") as refused:
        run(train=(path,), evaluation=(path,), tokenizer=Tokenizer(model=str(tmp_path / "nowhere")))
    assert "hub id" in refused.value.hint


def test_half_a_surrogate_pair_is_damage_and_no_bug(tmp_path: Path, english: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\\ud800 ship"}\n{"text": "another \\ud83d\\ude00"}\n')
    found = read_files([str(path)], LIMIT)
    assert found.documents == ["a\ufffd ship", "another \U0001f600"]
    assert found.reading.invalid_bytes == 1
    audited = run(train=(str(path),), evaluation=(str(path),), tokenizer=Tokenizer(model=str(english)))
    assert "invalid-bytes" in codes(audited)


def test_a_state_whose_tokenizer_was_replaced_is_told(tmp_path: Path, english: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", make_documents(1))
    asked = {"train": (path,), "evaluation": (path,), "tokenizer": Tokenizer(model=str(english))}
    own = run(**asked)["tokenizer_id"]
    for trained_with, told in ((own, False), ("another", True)):
        (english / "odyssey.json").write_text(json.dumps({"tokenizer_id": trained_with}))
        assert ("foreign-tokenizer" in codes(run(**asked))) is told


@pytest.mark.parametrize("tokenized", [False, True])
def test_texts_of_next_to_nothing_are_audited(tmp_path: Path, english: Path, tokenized: bool) -> None:
    texts = {
        "space": " ",
        "line": "\n",
        "word": "a",
        "mark": "\ufeff",
        "nul": "a b\0c d e",
        "cr": "a\rb",
        "ship": "🚢" * 9,
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode())
    tokenizer = Tokenizer(model=str(english)) if tokenized else None
    for one in texts:
        for other in texts:
            found = run(train=(str(tmp_path / one),), evaluation=(str(tmp_path / other),), tokenizer=tokenizer)
            assert ("same-text" in codes(found)) is (one == other)
