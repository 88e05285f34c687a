"""``c`` and ``C`` on the screens, and what a real tmux makes of it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.base import OdysseyScreen
from odyssey_tui.services.clipboard import hand_to_tmux, osc52, sequences, through_tmux, tsv
from store.workspace import Workspace
from tests.support.piloting import press, settle
from tests.support.terminal import Terminal


async def test_runs_and_their_table(voyage: Workspace) -> None:
    app = OdysseyApp(voyage)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "slash", *"~adapt-docs-r0-p5-s", "enter", "j", "c")
        (run_id,) = (name for name in voyage.run_ids() if re.match(r"adapt-docs-r0-p5-s-[0-9a-f]+$", name))
        assert app.clipboard == run_id
        await press(pilot, "C")
        titles, *rows = (line.split("\t") for line in app.clipboard.split("\n"))
        assert {len(row) for row in rows} == {len(titles)}
        assert any("adapt-docs-r0-p5-s" in cell for row in rows for cell in row)
        await press(pilot, "escape", "slash", *"~adapt-docs", "enter", "j", "space", "space", "c")
        assert len(app.marked) == 2
        assert app.clipboard.split("\n") == app.marked


async def test_the_page_of_a_run(voyage: Workspace, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(OdysseyScreen, "notify", lambda self, message, **options: told.append(message))
    app = OdysseyApp(voyage)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "slash", *"~adapt-docs-r0-p5-s", "enter", "j", "enter", "c")
        run_id = app.clipboard
        assert voyage.run(run_id).exists()
        assert told == [f"copied the run's id: {run_id}"]
        await press(pilot, "C")
        assert app.clipboard.split("\n")[0].split("\t")[:3] == ["state", "eval_set", "role"]


async def test_the_card_is_written(own_voyage: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = OdysseyApp(own_voyage)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "slash", *"~adapt-docs-r0-p5-s", "enter", "j", "enter", "M", "enter")
        await settle(pilot)
    (written,) = tmp_path.glob("adapt-docs-r0-p5-s-*-card.md")
    assert "## Make it again" in written.read_text()


async def test_the_card_of_the_fit_that_is_shown(own_voyage: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = OdysseyApp(own_voyage)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "7")
        await press(pilot, "M", "enter")
        await settle(pilot)
    (written,) = tmp_path.glob("fit-*-card.md")
    assert "## Fits" in written.read_text()


@pytest.mark.parametrize("key", ["2", "4", "5", "6", "7", "8", "9"])
async def test_no_screen_fails_for_want_of_something_to_copy(empty: Workspace, key: str) -> None:
    app = OdysseyApp(empty)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, key, "escape", "c", "C")
        assert app.clipboard == ""


async def test_cells_of_the_matrix_and_tokens(voyage: Workspace) -> None:
    app = OdysseyApp(voyage)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await app.go("matrix")
        await settle(pilot)
        await press(pilot, "c")
        row, column, value = app.clipboard.split("\t")
        assert re.search(r"\d", value), (row, column, value)
        await press(pilot, "C")
        titles, *rows = (line.split("\t") for line in app.clipboard.split("\n"))
        assert column in titles
        assert row in {cells[0] for cells in rows}
        await press(pilot, "6")
        await press(pilot, "c")
        token = app.clipboard
        await press(pilot, "C")
        assert token in app.clipboard.split("\n")[1]


async def test_what_the_mouse_selected_goes_through_tmux_too(empty: Workspace, monkeypatch) -> None:
    monkeypatch.setenv("TMUX", "x")
    monkeypatch.setenv("PATH", "")
    written: list[str] = []
    app = OdysseyApp(empty)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        monkeypatch.setattr(app._driver, "write", written.append)
        monkeypatch.setattr(app.screen, "get_selected_text", lambda: "a run")
        await press(pilot, "ctrl+c")
        assert (app.clipboard, app.return_code) == ("a run", None)
        assert through_tmux(osc52("a run")) in "".join(written)


def test_rows_become_lines_with_tabs() -> None:
    assert tsv([("a", "b"), ("x\ty", "1\n2")]) == "a\tb\nx y\t1 2"


def test_the_sequence_is_osc_52_and_is_doubled_for_the_terminal_around_tmux() -> None:
    encoded = base64.b64encode("Δ".encode()).decode()
    assert osc52("Δ") == sequences("Δ", {}) == f"\x1b]52;c;{encoded}\x07"
    assert sequences("Δ", {"TMUX": "x"}) == f"\x1b]52;c;{encoded}\x07\x1bPtmux;\x1b\x1b]52;c;{encoded}\x07\x1b\\"
    assert not hand_to_tmux("Δ", {})


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_a_real_tmux_hands_it_to_the_terminal_around_it(tmp_path: Path) -> None:
    code = "from odyssey_tui.services.clipboard import hand_to_tmux; assert hand_to_tmux('a run');"
    inner = f'{sys.executable} -c "{code} input()"'
    environment = {**os.environ, "TERM": "xterm-256color", "TMUX_TMPDIR": str(tmp_path)}
    environment.pop("TMUX", None)
    environment["PYTHONPATH"] = os.pathsep.join((str(Path.cwd()), os.environ.get("PYTHONPATH", "")))
    with Terminal(["tmux", "-f", "/dev/null", "new-session", inner], environment) as terminal:
        terminal.wait_for_sequence(base64.b64encode(b"a run"))
        terminal.press("\r")
        terminal.wait()
