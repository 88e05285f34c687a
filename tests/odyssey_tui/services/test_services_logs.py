"""Consoles as lines: read on, neutralised, searched."""

from __future__ import annotations

import pytest

from odyssey_tui.services import logs
from odyssey_tui.services.logs import LogReader, find_lines, plain_line, tail
from store.workspace import Workspace


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m and \x1b[1;38;5;2mgreen\x1b[m", "red and green"),
        ("\x1b]0;a title\x07text\x1b]52;c;ZXZpbA==\x1b\\", "text"),
        ("\x1b[2J\x1b[1;1Hover", "over"),
        ("10 %\r 50 %\r100 %", "100 %"),
        ("windows\r", "windows"),
        ("a\tb", "a       b"),
        ("bell\x07 back\x08 nul\x00", r"bell\x07 back\x08 nul\x00"),
        ("\u202eevil", r"\u202eevil"),
        ("\x9b31mred", "red"),
        ("dangling \x1b", r"dangling \x1b"),
        ("数字 🙂 שלום", "数字 🙂 שלום"),
    ],
)
def test_nothing_in_a_line_moves_a_cursor(written: str, shown: str) -> None:
    assert plain_line(written) == shown
    assert "\x1b" not in plain_line(written)


def test_a_console_is_read_on_from_where_the_last_look_ended(own_voyage: Workspace) -> None:
    run_id = next(name for name in own_voyage.run_ids() if name.startswith("adapt-headers-r0-p5-xs"))
    reader, console = LogReader(own_voyage, run_id), own_voyage.run(run_id).latest_attempt().console
    first = reader.read()
    assert (first.attempt, first.attempts, first.lines[-1]) == (1, 1, "step 6 loss nan")
    assert reader.read() == first
    with console.open("ab") as file:
        file.write(b"halb" + "ü".encode()[:1])
    assert reader.read().lines[-1].startswith("halb")
    with console.open("ab") as file:
        file.write("ü".encode()[1:] + b"\nnext\n")
    assert reader.read().lines[-2:] == ("halbü", "next")
    own_voyage.run(run_id).new_attempt().console.write_text("again\n")
    assert reader.read().lines == ("again",)
    assert reader.read(1).lines[-1] == "next"


def test_of_a_huge_console_the_end_is_read(own_voyage: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 1_000)
    monkeypatch.setattr(logs, "MOST_LINES", 50)
    run_id = next(name for name in own_voyage.run_ids() if name.startswith("adapt-headers-r0-p5-xs"))
    console = own_voyage.run(run_id).latest_attempt().console
    console.write_text("".join(f"line {number}\n" for number in range(5_000)))
    found = LogReader(own_voyage, run_id).read()
    assert found.lines[-1] == "line 4999"
    assert len(found.lines) == 50
    assert found.left_out > 0
    assert not found.lines[0].startswith("ine")


def test_a_run_that_has_not_started_has_no_lines(voyage: Workspace) -> None:
    run_id = next(name for name in voyage.run_ids() if name.startswith("adapt-tests-r0-p5-xs"))
    assert LogReader(voyage, run_id).read().lines == ()


def test_lines_are_found_whatever_their_case() -> None:
    lines = ["Loss 1", "step", "LOSS 2"]
    assert find_lines(lines, "loss") == [0, 2]
    assert find_lines(lines, "") == []
    assert find_lines(lines, "[") == []


def test_the_tail_has_no_escapes(tmp_path) -> None:
    log = tmp_path / "console.log"
    log.write_text("one\n\x1b[31mtwo\x1b[0m\n")
    assert tail(log, 5) == ["one", "two"]
