"""Text on disk in every form, and what is said when it cannot be read."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from engine.data.reading import read_corpus
from engine.spec.run import Corpus
from store.errors import ConfigError, DataError

RECORDS = [{"text": f"line one of {n}\nline two ü\n", "topic": "ab"[n % 2], "lang": "en"} for n in range(6)]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: zstandard.ZstdCompressor().compress(content),
}


def texts(corpus: Corpus) -> set[str]:
    return {document.text for document in read_corpus(corpus).documents}


@pytest.mark.parametrize("suffix", PACKERS)
def test_json_lines_compressed_or_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACKERS[suffix](LINES))
    read = read_corpus(Corpus(name="c", source=str(path), group_field="topic"))
    assert [document.text for document in read.documents] == [record["text"] for record in RECORDS]
    assert {document.group for document in read.documents} == {"a", "b"}
    assert read.documents[2].path == f"{path}:3"


@pytest.mark.parametrize("suffix", PACKERS)
def test_plain_text_compressed_or_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACKERS[suffix]("\ufeffü one\r\ntwo\r\n".encode()))
    assert texts(Corpus(name="c", source=str(path))) == {"ü one\ntwo\n"}


def test_parquet_json_arrays_and_json_objects(tmp_path: Path) -> None:
    wanted = {record["text"] for record in RECORDS}
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps(RECORDS))
    (tmp_path / "one.json").write_text(json.dumps(RECORDS[0], indent=1))
    (tmp_path / "lines.json").write_bytes(LINES)
    assert texts(Corpus(name="c", source=str(tmp_path / "a.parquet"))) == wanted
    assert texts(Corpus(name="c", source=str(tmp_path / "a.json"))) == wanted
    assert texts(Corpus(name="c", source=str(tmp_path / "one.json"))) == {RECORDS[0]["text"]}
    assert texts(Corpus(name="c", source=str(tmp_path / "lines.json"))) == wanted


def test_where_keeps_matching_records(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES + b'{"text": "other", "topic": 7, "lang": "en"}\n')
    assert len(texts(Corpus(name="c", source=str(path), where={"topic": "a", "lang": "en"}))) == 3
    assert texts(Corpus(name="c", source=str(path), where={"topic": "7"})) == {"other"}
    with pytest.raises(DataError) as error:
        read_corpus(Corpus(name="c", source=str(path), where={"lang": "de"}))
    assert "'de'" in error.value.hint
    assert "have en" in error.value.hint


def test_a_folder_reads_what_the_glob_names_and_counts_what_it_skips(tmp_path: Path) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/c.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}\n")
    (tmp_path / "d.txt").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "e.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden/f.txt").write_text("hidden")
    read = read_corpus(Corpus(name="c", source=str(tmp_path), glob="**/*.txt"))
    assert {document.doc_id for document in read.documents} == {"a.txt", "sub/b.txt"}
    assert {document.group for document in read.documents} == {"a.txt", "sub/b.txt"}
    assert read.skipped == {"binary": 1, "not UTF-8": 1}
    assert any("d.txt" in note for note in read.notes)


def test_max_bytes_cuts_a_text_inside_no_character(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("漢" * 1000)
    for max_bytes in (100, 101, 102):
        (document,) = read_corpus(Corpus(name="c", source=str(path), max_bytes=max_bytes)).documents
        assert document.text == "漢" * (max_bytes // 3)


def test_a_sample_spreads_over_the_file_and_does_not_depend_on_its_order(tmp_path: Path) -> None:
    records = [{"id": str(n), "text": f"{n} " * 50} for n in range(400)]
    chosen = []
    for name, order in (("a.jsonl", records), ("b.jsonl", records[::-1])):
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in order))
        read = read_corpus(Corpus(name="c", source=str(tmp_path / name), max_bytes=10_000))
        assert sum(document.n_bytes for document in read.documents) <= 10_000
        chosen.append([document.doc_id for document in read.documents])
    assert chosen[0] == chosen[1]
    assert min(map(int, chosen[0])) < 80
    assert max(map(int, chosen[0])) > 320


@pytest.mark.parametrize(
    ("name", "content", "options", "message", "hint"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"txt": "y"}\n', {}, "a.jsonl:2 has no field 'text'", "Did you mean 'txt'"),
        ("a.jsonl", b'{"text": "x"}\n', {"group_field": "texts"}, "no field 'texts'", "Did you mean 'text'"),
        ("a.jsonl", b'{"text": "x"}\n', {"where": {"lang": "x"}}, "no field 'lang'", "Its fields: text"),
        ("a.jsonl", b'{"text": 3}\n', {}, "is int, not text", "text_field"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', {}, "a.jsonl:2 is no valid JSON", "one JSON object per line"),
        ("a.jsonl", b"[1]\n", {}, "a.jsonl:1 is no JSON object", "one JSON object per line"),
        ("a.json", b"[1]\n", {}, "[0] is no JSON object", "Each record"),
        ("a.jsonl", b"", {}, "no readable text", "empty"),
        ("a.jsonl", b'{"text": null}\n{"text": " "}', {}, "no readable text", "null text"),
        ("a.txt", b"\0\1", {}, "no readable text", "binary"),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:40], {}, "cannot read", "damaged"),
        ("a.jsonl.xz", b"not xz", {}, "cannot read", "damaged"),
        ("a.txt.zst", b"not zst", {}, "cannot read", "damaged"),
        ("a.parquet", b"not parquet", {}, "cannot read", "damaged"),
    ],
)
def test_bad_files_are_named_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, options: dict[str, object], message: str, hint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_corpus(Corpus(name="c", source=str(tmp_path / name), **options))
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_parquet_file_without_the_field_names_the_nearest(tmp_path: Path) -> None:
    pq.write_table(pa.table({"texte": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet has no field 'text'") as error:
        read_corpus(Corpus(name="c", source=str(tmp_path / "a.parquet")))
    assert "Did you mean 'texte'" in error.value.hint


def test_missing_paths_name_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "novels.jsonl").write_text("{}")
    with pytest.raises(DataError, match="no such file") as error:
        read_corpus(Corpus(name="c", source=str(tmp_path / "novel.jsonl")))
    assert "novels.jsonl" in error.value.hint
    with pytest.raises(DataError, match="no such file") as error:
        read_corpus(Corpus(name="c", source=str(tmp_path / "absent" / "deeper" / "a.txt")))
    assert str(tmp_path) in error.value.hint
    with pytest.raises(DataError, match="no file in"):
        read_corpus(Corpus(name="c", source=str(tmp_path), glob="*.nothing"))


def test_an_unknown_prefix_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="instalation:") as error:
        read_corpus(Corpus(name="c", source="instalation:docs"))
    assert "installation" in error.value.hint
