"""Snapshots: what is dropped, how text is split, that a cached one is the same for everyone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.data.cache import cached_folder
from engine.data.corpus import CorpusSnapshot, is_stale, snapshot
from engine.spec.run import Corpus
from store.errors import DataError, WorkspaceError
from store.workspace import Workspace

SPLITS = ("train", "valid", "test")
SHARES = {"test_share": 0.2, "valid_share": 0.1}


def write(path: Path, records: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def by_split(taken: CorpusSnapshot) -> dict[str, list[str]]:
    return {split: [document.doc_id for document in taken.documents(split)] for split in SPLITS}


def test_groups_never_cross_a_split_and_shares_are_near(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    taken = snapshot(corpora[0], workspace)
    groups = {split: {document.group for document in taken.documents(split)} for split in SPLITS}
    assert all(groups.values())
    assert sum(map(len, groups.values())) == len(set().union(*groups.values())) == 10
    n_bytes = taken.manifest["bytes"]
    assert 0.1 < n_bytes["test"] / sum(n_bytes.values()) < 0.3
    for split in SPLITS:
        assert n_bytes[split] == sum(len(document.text.encode()) for document in taken.documents(split))


def test_duplicates_empties_and_line_ends(tmp_path: Path, workspace: Workspace) -> None:
    texts = ["one\r\ntwo\n", "one\ntwo", " one  two ", "", " \n", "three\rfour\n", "five \ud800"]
    source = write(tmp_path / "a.jsonl", [{"id": str(n), "text": text} for n, text in enumerate(texts)])
    taken = snapshot(Corpus(name="c", source=source), workspace)
    held = {document.doc_id: document.text for split in SPLITS for document in taken.documents(split)}
    assert held == {"0": "one\ntwo\n", "5": "three\rfour\n", "6": "five \ufffd"}
    assert taken.manifest["duplicates"] == 2
    assert taken.manifest["skipped"] == {"empty": 2}
    assert "lone surrogates" in " ".join(taken.manifest["notes"])


def test_stripped_newlines_leave_the_split_as_it_is(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    kept = snapshot(corpora[0], workspace)
    stripped = snapshot(corpora[0].model_copy(update={"newlines": "strip"}), workspace)
    assert by_split(kept) == by_split(stripped)
    assert kept.fingerprint != stripped.fingerprint
    for split in SPLITS:
        for before, after in zip(kept.documents(split), stripped.documents(split), strict=True):
            assert after.text == "".join(line.strip() for line in before.text.split("\n"))


def test_a_single_group_is_split_by_document(tmp_path: Path, workspace: Workspace) -> None:
    source = write(tmp_path / "a.jsonl", [{"text": f"text number {n}\n"} for n in range(50)])
    taken = snapshot(Corpus(name="c", source=source, **SHARES), workspace)
    assert 5 <= taken.manifest["documents"]["test"] <= 15
    assert any("single group" in note for note in taken.manifest["notes"])


def test_a_single_document_is_split_at_line_ends(
    tmp_path: Path, workspace: Workspace, prose: Callable[[int, int], str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(prose(0, 2000))
    taken = snapshot(Corpus(name="c", source=str(path), **SHARES), workspace)
    pieces = {split: [document.text for document in taken.documents(split)] for split in SPLITS}
    assert [len(texts) for texts in pieces.values()] == [1, 1, 1]
    assert "".join(text for texts in pieces.values() for text in texts) == path.read_text()
    assert all(text.endswith("\n") for texts in pieces.values() for text in texts)
    assert any("single document" in note for note in taken.manifest["notes"])


def test_a_split_far_from_its_share_is_noted(tmp_path: Path, workspace: Workspace) -> None:
    records = [{"text": f"text {n}\n", "group": f"g{n % 2}"} for n in range(50)]
    corpus = Corpus(name="c", source=write(tmp_path / "a.jsonl", records), group_field="group")
    taken = snapshot(corpus, workspace)
    assert taken.manifest["documents"] == {"train": 25, "valid": 0, "test": 25}
    assert any("test holds 5" in note and "2 groups" in note for note in taken.manifest["notes"])


def test_every_document_says_where_it_was_read(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    taken = snapshot(corpora[0], workspace)
    paths = [path for split in SPLITS for path in taken.table(split, ["path"])["path"].to_pylist()]
    assert sorted(paths) == sorted(f"{corpora[0].source}:{line}" for line in range(1, 41))
    assert sum(entry["documents"] for entry in taken.manifest["provenance"].values()) == 40


def test_the_fingerprint_is_of_the_content(tmp_path: Path, workspace: Workspace) -> None:
    records = [{"id": str(n), "text": f"text {n}\n"} for n in range(20)]
    first = snapshot(Corpus(name="a", source=write(tmp_path / "a.jsonl", records), group_field="id"), workspace)
    second = snapshot(Corpus(name="b", source=write(tmp_path / "b.jsonl", records[::-1]), group_field="id"), workspace)
    records[3]["text"] = "another\n"
    third = snapshot(Corpus(name="b", source=write(tmp_path / "c.jsonl", records), group_field="id"), workspace)
    assert first.fingerprint == second.fingerprint != third.fingerprint


def test_a_changed_file_makes_the_snapshot_stale(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")
    corpus = Corpus(name="c", source=str(path))
    taken = snapshot(corpus, workspace)
    assert not is_stale(corpus, taken)
    path.write_text("one\ntwo\nthree\n")
    assert is_stale(corpus, taken)
    assert snapshot(corpus, workspace).fingerprint == taken.fingerprint
    path.unlink()
    assert not is_stale(corpus, taken)


def test_an_empty_corpus_leaves_nothing_behind(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.txt").write_text("  \n")
    with pytest.raises(DataError, match="no readable text"):
        snapshot(Corpus(name="c", source=str(tmp_path / "a.txt")), workspace)
    assert list((workspace.cache / "corpora").glob("*")) == []


def test_two_processes_may_snapshot_the_same_corpus_at_once(
    workspace: Workspace, corpora: tuple[Corpus, Corpus]
) -> None:
    code = (
        "import sys; from engine.data.corpus import snapshot; from engine.spec.run import Corpus; "
        "from store.workspace import Workspace; "
        "print(snapshot(Corpus.model_validate_json(sys.argv[1]), Workspace.open(sys.argv[2])).fingerprint)"
    )
    command = [sys.executable, "-c", code, corpora[0].model_dump_json(), str(workspace.root)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    fingerprints = {process.communicate()[0].strip() for process in processes}
    assert fingerprints == {snapshot(corpora[0], workspace).fingerprint}
    assert [path.name for path in (workspace.cache / "corpora").iterdir()] == [corpora[0].key()]


def test_the_loser_of_a_race_takes_the_winners_entry(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "entry"

    def build(temporary: Path) -> None:
        (temporary / "content").write_text("mine")
        folder.mkdir()
        (folder / "content").write_text("theirs")

    assert (cached_folder(folder, build) / "content").read_text() == "theirs"
    assert [path.name for path in folder.parent.iterdir()] == ["entry"]


def test_a_failed_build_leaves_no_entry(tmp_path: Path) -> None:
    def build(temporary: Path) -> None:
        (temporary / "half").write_text("half")
        raise DataError("no")

    with pytest.raises(DataError):
        cached_folder(tmp_path / "cache" / "entry", build)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_builder_left_is_swept_after_a_day(tmp_path: Path) -> None:
    old, young = (tmp_path / f".entry.{name}" for name in ("old", "young"))
    for left in (old, young):
        left.mkdir()
    os.utime(old, (0, 0))
    cached_folder(tmp_path / "entry", lambda temporary: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".entry.young", "entry"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(WorkspaceError, match="cannot write"):
        cached_folder(tmp_path / "cache" / "entry", lambda temporary: None)


def test_documents_file_has_the_documented_columns(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    taken = snapshot(corpora[0], workspace)
    names = pq.read_schema(taken.path / "documents.parquet").names
    assert names == ["split", "group", "doc_id", "path", "text", "n_bytes", "digest"]


def test_parts_of_a_corpus_share_no_group(tmp_path: Path, workspace: Workspace) -> None:
    records = [{"id": str(n), "group": f"g{n % 9}", "text": f"text number {n} " * (n % 7 + 1)} for n in range(90)]
    source = write(tmp_path / "a.jsonl", records)
    whole = Corpus(name="c", source=source, group_field="group", **SHARES)
    halves = [snapshot(whole.model_copy(update={"part": f"{n}/2"}), workspace) for n in (1, 2)]
    groups = [{document.group for split in SPLITS for document in half.documents(split)} for half in halves]
    assert not groups[0] & groups[1]
    assert len(groups[0] | groups[1]) == 9
    assert sum(half.manifest["n_documents"] for half in halves) == 90
    assert all(half.manifest["bytes"]["test"] for half in halves)


def test_a_text_of_one_group_is_divided_by_document(tmp_path: Path, workspace: Workspace) -> None:
    source = write(tmp_path / "a.jsonl", [{"id": str(n), "text": f"text number {n}"} for n in range(40)])
    halves = [snapshot(Corpus(name="c", source=source, part=f"{n}/2"), workspace) for n in (1, 2)]
    ids = [{document.doc_id for split in SPLITS for document in half.documents(split)} for half in halves]
    assert not ids[0] & ids[1]
    assert {len(found) for found in ids} == {20}


def test_more_parts_than_groups_is_a_message(tmp_path: Path, workspace: Workspace) -> None:
    source = write(tmp_path / "a.jsonl", [{"id": str(n), "text": f"text number {n}"} for n in range(3)])
    with pytest.raises(DataError, match="part 4/4 is empty: there are 3 documents"):
        snapshot(Corpus(name="c", source=source, part="4/4"), workspace)
