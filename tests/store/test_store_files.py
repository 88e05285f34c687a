"""Files are complete or absent; journals survive a writer that died within a line."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from store.errors import DataError, WorkspaceError
from store.files import read_json, write_atomic, write_json
from store.journal import MALFORMED, Journal, read_events


def test_write_replaces_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "value.json"
    write_json(target, {"a": 1})
    write_json(target, {"a": "é"})
    assert read_json(target) == {"a": "é"}
    assert [path.name for path in target.parent.iterdir()] == ["value.json"]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "value"
    write_atomic(target, "old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(WorkspaceError, match="No space left"):
        write_atomic(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["value"]


def test_writing_below_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot write"):
        write_atomic(tmp_path / "file" / "x", "y")


def test_json_errors_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{\n"a": }\n')
    with pytest.raises(DataError, match=r"bad\.json:2"):
        read_json(tmp_path / "bad.json")


def test_journal_numbers_events_and_remembers_offsets(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path)
    journal.append("a", value=1)
    events, offset = read_events(path)
    journal.append("b")
    journal.close()
    more, end = read_events(path, offset)
    assert [event["event"] for event in events + more] == ["a", "b"]
    assert [event["seq"] for event in events + more] == [0, 1]
    assert end == path.stat().st_size
    assert read_events(path, end) == ([], end)


def test_a_torn_line_is_left_for_later_and_closed_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path)
    journal.append("a")
    journal.close()
    whole = path.stat().st_size
    with path.open("a") as file:
        file.write('{"seq": 1, "t": 1.0, "ev')
    assert [event["event"] for event in read_events(path)[0]] == ["a"]
    assert read_events(path)[1] == whole
    journal = Journal(path)
    journal.append("b")
    journal.close()
    events = read_events(path)[0]
    assert [event["event"] for event in events] == ["a", MALFORMED, "b"]
    assert [event["seq"] for event in events] == [0, -1, 1]
    assert events[1]["offset"] == whole


def test_a_line_completed_later_is_read_once_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = json.dumps({"seq": 0, "t": 1.0, "event": "metric"}) + "\n"
    path.write_text(line[:10])
    events, offset = read_events(path)
    assert (events, offset) == ([], 0)
    path.write_text(line)
    assert [event["event"] for event in read_events(path, offset)[0]] == ["metric"]


def test_sequence_continues_after_a_very_long_last_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path)
    journal.append("short")
    journal.append("long", text="x" * 200_000)
    journal.close()
    assert Journal(path).append("next")["seq"] == 2


def test_threads_share_a_journal_without_tearing_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.jsonl")

    def write() -> None:
        for _ in range(50):
            journal.append("tick", text="y" * 300)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert [event["seq"] for event in read_events(journal.path)[0]] == list(range(200))


def test_a_line_that_the_disk_took_in_part_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "events.jsonl")
    journal.append("a")
    true_write = os.write

    def write_part(descriptor: int, data: bytes) -> int:
        true_write(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", write_part)
        with pytest.raises(WorkspaceError, match="No space left"):
            journal.append("b")
    journal.append("c")
    events = read_events(journal.path)[0]
    assert [event["event"] for event in events] == ["a", MALFORMED, "c"]
    assert [event["seq"] for event in events] == [0, -1, 1]


def test_remains_of_anything_can_be_shown_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\x1b]0;title\x07\x1b[2Jwords\xff\n")
    (event,), _ = read_events(path)
    assert event["event"] == MALFORMED
    assert event["text"].isprintable()
    assert "words" in event["text"]


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.jsonl", 7) == ([], 7)
