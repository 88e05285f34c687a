"""The pieces of ``bench.tui``: its workspace, its terminal, and a short visit of the application in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.harness import Finished
from bench.tui import _count_csv, _count_table
from bench.viewing.scripts import odyssey_visit
from bench.viewing.terminal import FRAME_END, Terminal
from bench.viewing.visit import Step, Visit, pay, percentile
from bench.viewing.wandb_runs import frame
from bench.viewing.workspace import LONG_RUNS, write_workspace
from engine.importers.wandb import read_records
from odyssey_tui.services.runs import list_runs

ANSWERING = """
import sys, termios, tty
tty.setcbreak(0)
sys.stdout.write("\\x1b[?1049h\\x1b[?2026$phello"); sys.stdout.flush()
said = ""
while not said.endswith("y"):
    said += sys.stdin.read(1)
while (key := sys.stdin.read(1)) != "q":
    sys.stdout.write(f"\\x1b[?2026h{key}{said[-2]}\\x1b[?2026l" * ("nad".index(key))); sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return write_workspace(tmp_path_factory.mktemp("viewing") / "workspace", 40, 300)


def test_the_workspace_has_as_many_runs_and_points_as_asked_for(made) -> None:
    rows = list_runs(made)
    assert len(rows) == 40
    assert {row.state for row in rows} == {"done"}
    long = [row for row in rows if row.experiment == "long" and row.kind == "adapt"]
    assert len(long) == LONG_RUNS
    assert all(row.delta_target is not None and row.delta_base is not None for row in long)
    journal = made.run(long[0].run_id).latest_attempt().events.read_text()
    assert journal.count('"event":"metric"') == 300


def test_a_terminal_answers_and_counts_frames(tmp_path: Path) -> None:
    with Terminal([sys.executable, "-c", ANSWERING], {}) as terminal:
        terminal.wait_for("hello")
        assert 0 < terminal.wait_for_frame() < 60
        once = terminal.answer_to("a", 0.2)
        assert once.frames == (len(b"\x1b[?2026ha$" + FRAME_END),)
        assert once.painted_s == once.settled_s
        twice = terminal.answer_to("d", 0.2)
        assert len(twice.frames) == 2
        assert twice.n_bytes == 2 * once.n_bytes
        with pytest.raises(RuntimeError, match="was not shown"):
            terminal.wait_for("never", seconds=0.2)
        assert terminal.answer_to("q", 0.1, patience_s=0.3).frames == ()


def test_a_visit_measures_every_named_step(made, tmp_path: Path) -> None:
    whole = odyssey_visit(made.root, stay=True)
    steps = (Step(("j",), "row", 3), Step(("?",), shows="keep at the top of the list"))
    visit = Visit(whole.command, whole.rows, environment=whole.environment, steps=steps, idle_s=0.2)
    assert Visit.read(visit.write(tmp_path / "visit.json")) == visit
    found = pay(visit)
    assert 0 < found["first_frame_s"] <= found["first_rows_s"] <= found["start_s"]
    assert 0 < found["row_p50_ms"] <= found["row_p95_ms"]
    assert 0 < found["row_frame_kb"] <= found["row_largest_kb"] < 100
    assert found["rss_mib"] > 10
    assert found["idle_bytes"] == 0


def test_a_measured_key_that_draws_nothing_is_an_error() -> None:
    visit = Visit((sys.executable, "-c", ANSWERING), "hello", steps=(Step(("a", "n"), "nothing"),))
    with pytest.raises(RuntimeError, match="drew nothing"):
        pay(visit, patience_s=0.5)


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 41)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7.0], 0.95)) == (20.0, 38.0, 7.0)


def test_records_of_wandb_are_framed_as_its_readers_expect() -> None:
    given = [bytes([number]) * length for number, length in enumerate((10, 40_000, 0, 32_700, 5, 100_000))]
    complaints: list[str] = []
    data = b"".join(frame(iter(given)))
    assert [bytes(record) for _, record in read_records(data, lambda *words: complaints.append(words[0]))] == given
    assert complaints == []


def test_lists_are_counted(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("Date  Name\n----  ----\na  b\nc  d\n")
    assert _count_table(Finished(tmp_path, 1.0, 1.0, 1)) == {"rows": 2}
    (tmp_path / "stdout").write_text('id,text\n1,"two\nlines"\n2,b\n')
    assert _count_csv(Finished(tmp_path, 1.0, 1.0, 1)) == {"rows": 2}


def test_help_names_every_option() -> None:
    done = subprocess.run([sys.executable, "-m", "bench.tui", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--runs", "--points", "--data", "--peer-python", "--json"))
