"""The Tokens screen, driven by keys."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.tokens import TokensScreen
from odyssey_tui.services import token_details
from odyssey_tui.services.token_words import mask_words
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.keyed_table import KeyedTable
from odyssey_tui.widgets.long_table import LongTable
from store.database import lease
from store.workspace import Workspace
from tests.support.piloting import press, settle


async def open_tokens(pilot: Pilot) -> TokensScreen:
    await settle(pilot)
    await press(pilot, "6")
    screen = pilot.app.base_screen
    assert isinstance(screen, TokensScreen)
    return screen


async def open_mixed(pilot: Pilot) -> TokensScreen:
    """A pair of which most types fall, and some rise."""
    run = next(name for name in pilot.app.workspace.run_ids() if name.startswith("adapt-docs-r0.25-p45-s-"))
    await settle(pilot)
    await pilot.app.go("tokens", run)
    await settle(pilot)
    assert 0 < pilot.app.base_screen.source.report.ledger.n_rising < 40
    return pilot.app.base_screen


def text_of(screen: object, selector: str) -> str:
    return str(screen.query_one(selector, Static).render())


def types_of(screen: TokensScreen) -> LongTable:
    return screen.query_one("#types", LongTable)


def own_copy(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.root, folder, ignore=shutil.ignore_patterns("checkpoints"))
    return Workspace.open(folder)


async def test_the_head_says_what_the_numbers_rest_on(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        report = screen.source.report
        basis = text_of(screen, "#basis")
        assert f"T {report.ledger.predicted:,} tokens, {report.n_documents} documents" in basis
        assert "blocks, window 256, fp32" in basis
        assert "+ is worse" in basis
        change = text_of(screen, "#change")
        assert "[+" in change
        assert "bits/byte" in change
        assert f"k* = {report.ledger.k_star}" in text_of(screen, "#rise")
        assert "nothing is masked" in text_of(screen, "#masked")


async def test_every_type_has_a_row_and_the_last_ones_fall(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_mixed(pilot)
        table, ledger = types_of(screen), screen.source.report.ledger
        assert len(table.keys) == len(ledger.counts)
        assert table.cells(table.keys[0])[0].startswith("\\n")
        await press(pilot, "G")
        assert table.cursor_row == len(ledger.counts) - 1
        assert "−" in table.cells(table.current)[2]


async def test_first_rows_do_not_wait_for_passages_and_intervals(
    voyage: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    for name in ("read_details", "bootstrap_report"):
        real = getattr(token_details, name)
        monkeypatch.setattr(token_details, name, lambda *given, real=real: (released.wait(60), real(*given))[1])
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("6")
        screen = pilot.app.base_screen
        while screen.source is None or not types_of(screen).keys:
            await pilot.pause()
        await pilot.pause()
        assert "[…]" in text_of(screen, "#change")
        assert "Looking for passages" in text_of(screen, "#place")
        await pilot.press("m")
        assert "without 1 type" in text_of(screen, "#masked")
        released.set()
        await settle(pilot)
        assert "[…]" not in text_of(screen, "#change")
        assert "Worst passage 1 of" in text_of(screen, "#place")


async def test_a_mask_changes_the_masked_perplexity_and_its_interval_follows(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_tokens(pilot)
        source, ledger = screen.source, screen.source.report.ledger
        screen.query_one("#classes", KeyedTable).focus()
        await pilot.press("m")
        token_class = screen.query_one("#classes", KeyedTable).current.removeprefix("class:")
        types = ledger.types_of(token_class)
        found = ledger.masked(types)
        assert f"{found.ppl_before:.3f} → {found.ppl_after:.3f}" in text_of(screen, "#masked")
        await settle(pilot)
        interval = token_details.bootstrap_masked(source, types, screen.details.classes)
        assert mask_words(ledger, found, interval)[1] in text_of(screen, "#masked")
        assert interval.low < found.delta < interval.high
        await press(pilot, "m")
        assert "nothing is masked" in text_of(screen, "#masked")


async def test_keys_mask_classes_and_U_forgets(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        ledger = screen.source.report.ledger
        await press(pilot, "n", "full_stop", "d")
        masked = ledger.types_of("newline") | ledger.types_of("punctuation") | ledger.types_of("digits")
        assert screen._masked == masked
        assert f"without {len(masked)} types" in text_of(screen, "#masked")
        await press(pilot, "d")
        assert screen._masked == masked - ledger.types_of("digits")
        await press(pilot, "U")
        assert screen._masked == frozenset()
        await press(pilot, "O")
        assert screen._masked == frozenset()
        assert any("no other tokens" in note.message for note in pilot.app._notifications)


async def test_types_mask_one_by_one(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        await press(pilot, "m", "j", "m")
        assert "without 2 types" in text_of(screen, "#masked")
        first, second = (screen.source.report.ledger.row(place).token_id for place in (0, 1))
        assert screen._masked == {first, second}
        heat = screen.query_one("#heat", Static).content
        passage = screen._passage
        struck = sum(len(heat.plain[span.start : span.end]) for span in heat.spans if str(span.style) == "dim strike")
        expected = [token for token in passage.tokens if token.token_id in {first, second} and token.delta is not None]
        assert struck == sum(2 if token.token_class == "newline" else len(token.text) for token in expected)


async def test_J_and_K_go_through_passages_without_reading_pairs_again(
    voyage: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        monkeypatch.setattr(screen, "load", lambda request: pytest.fail("the pairs were read again"))
        await press(pilot, "m", "J", "J")
        assert "Worst passage 3 of" in text_of(screen, "#place")
        assert len(screen._masked) == 1
        assert screen._passage.place == screen.details.rising[2].place
        await press(pilot, "K")
        assert "Worst passage 2 of" in text_of(screen, "#place")
        await press(pilot, "b")
        assert "Best passage 1 of" in text_of(screen, "#place")
        assert screen._passage.place == screen.details.falling[0].place
        await press(pilot, "b", "K")
        assert "Worst passage 1 of" in text_of(screen, "#place")


async def test_enter_goes_along_the_passages_of_a_type_and_escape_back(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_mixed(pilot)
        row = screen.source.report.ledger.row(1)
        await press(pilot, "j", "enter")
        changed = token_details.seek_types(screen.source, frozenset({row.token_id}))
        assert f"Worst passage 1 of {len(changed.rising)} for {row.text}" in text_of(screen, "#place")
        assert screen._passage.place == changed.rising[0].place
        await press(pilot, "J")
        assert screen._passage.place == changed.rising[1].place
        await press(pilot, "b")
        assert f"Best passage 1 of {len(changed.falling)} for {row.text}" in text_of(screen, "#place")
        await press(pilot, "b", "escape")
        assert "Worst passage 1 of" in text_of(screen, "#place")
        assert " for " not in text_of(screen, "#place")
        screen.query_one("#classes", KeyedTable).focus()
        await press(pilot, "j", "enter")
        name = screen.query_one("#classes", KeyedTable).current.removeprefix("class:")
        assert f"for {name}" in text_of(screen, "#place")


async def test_a_type_that_rises_nowhere_says_so(voyage: Workspace) -> None:
    run = next(name for name in voyage.run_ids() if name.startswith("adapt-tables-r0-p15-s-"))
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.app.go("tokens", run)
        await settle(pilot)
        screen = pilot.app.base_screen
        ledger = screen.source.report.ledger
        walks = {place: ledger.row(place).token_id for place in reversed(range(len(ledger.counts)))}
        changed = {place: token_details.seek_types(screen.source, frozenset({token})) for place, token in walks.items()}
        place = next(place for place in walks if not changed[place].rising)
        types_of(screen).move_cursor(place)
        await press(pilot, "enter")
        assert "rises in no passage" in text_of(screen, "#place")
        await press(pilot, "J")
        assert "rises in no passage" in text_of(screen, "#place")
        await press(pilot, "b")
        assert f"Best passage 1 of {len(changed[place].falling)} for" in text_of(screen, "#place")


async def test_v_shows_the_curve_over_positions(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_tokens(pilot)
        chart, scroll = screen.query_one("#positions", Chart), screen.query_one("#heat-scroll")
        assert scroll.display
        assert not chart.display
        await press(pilot, "v")
        assert chart.display
        assert not scroll.display
        (change,) = chart.figure.lines
        assert change.y.tolist() == pytest.approx(screen.details.curve.delta.tolist())
        await press(pilot, "v")
        assert [line.label for line in chart.figure.lines] == ["before", "after"]
        await press(pilot, "v")
        assert scroll.display


async def test_the_set_key_goes_to_the_base_text_and_back(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        before = screen.source.report.name
        roles = set()
        for _ in range(len([pair for pair in screen._found.pairs if pair.after == before.after])):
            roles.add(screen.source.report.name.eval_set)
            await press(pilot, "s")
        assert "base" in roles
        assert screen.source.report.name == before


async def test_p_chooses_another_pair_and_masks_go(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        await press(pilot, "n", "p", "j", "enter")
        assert screen.source.report.name == screen._found.pairs[1]
        assert screen._masked == frozenset()


async def test_another_screen_hands_over_its_pair(voyage: Workspace) -> None:
    run = next(name for name in voyage.run_ids() if name.startswith("adapt-docs-r0-p5-s-"))
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.app.go("tokens", run)
        await settle(pilot)
        assert pilot.app.base_screen.source.report.name.run_id == run


async def test_losses_that_are_gone_leave_the_ledger(voyage: Workspace, tmp_path: Path) -> None:
    copy = own_copy(voyage, tmp_path / "copy")
    async with OdysseyApp(copy).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        await press(pilot, "n")
        with lease(copy, write=True) as con:
            con.execute("DELETE FROM token_losses")
        await press(pilot, "r")
        assert "Only sums are kept" in text_of(screen, "#place")
        assert screen._masked == screen.source.report.ledger.types_of("newline")
        assert "only sums are kept: no interval" in text_of(screen, "#masked")
        assert "[+" in text_of(screen, "#change")
        await press(pilot, "v")
        assert screen.query_one("#positions", Chart).figure is None
        assert not screen._troubles


async def test_what_cannot_be_scanned_is_told_and_the_ledger_stays(
    voyage: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: object) -> None:
        raise ValueError("a scan that fails")

    monkeypatch.setattr(token_details, "read_details", fail)
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        assert screen._troubles == {"details": "ValueError: a scan that fails"}
        assert types_of(screen).keys


@pytest.mark.parametrize("suffix", ["csv", "json", "tex", "svg"])
async def test_E_writes_what_is_shown(
    voyage: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with OdysseyApp(voyage).run_test(size=(80, 24)) as pilot:
        screen = await open_tokens(pilot)
        await press(pilot, "n", "E")
        field = pilot.app.screen.query_one("Input")
        field.value = f"ledger.{suffix}"
        await press(pilot, "enter")
        ledger = screen.source.report.ledger
    written = (tmp_path / f"ledger.{suffix}").read_text()
    if suffix == "csv":
        rows = list(csv.DictReader(written.splitlines()))
        assert len(rows) == len(ledger.counts)
        assert sum(float(row["contribution"]) for row in rows) == pytest.approx(ledger.delta)
    elif suffix == "json":
        record = json.loads(written)
        assert record["masked"]["token_ids"] == sorted(ledger.types_of("newline"))
        assert record["interval"]["low"] < record["delta"]
        assert record["classes"][0]["low"] is not None
        assert record["positions"]["unit"] == "tokens of context"
    else:
        assert {"tex": r"\textbackslash{}n", "svg": "tokens of context"}[suffix] in written


async def test_the_heat_map_shows_the_passage_and_nothing_raw(voyage: Workspace) -> None:
    async with OdysseyApp(voyage).run_test(size=(120, 40)) as pilot:
        screen = await open_tokens(pilot)
        heat = screen.query_one("#heat", Static).content
        words = [token.text for token in screen._passage.tokens if token.token_class == "word"]
        assert all(word in heat.plain for word in words)
        assert "⏎" in heat.plain
        assert not any(ord(char) < 32 and char != "\n" for char in heat.plain)
        assert any("on #" in str(span.style) for span in heat.spans)


HARD = {
    0: "عربي",
    1: "\x1b[31mred\x07",
    2: "👩\u200d👧",
    3: "中文字",
    4: "\u064b",
    5: "\u202eevil",
    6: "e\u0301",
    7: "\x9b2J",
}
"""Arabic, terminal escapes, an emoji of several, wide characters, a mark by itself, a change of direction."""


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_any_script_and_any_escape_stay_in_their_cells(voyage: Workspace, tmp_path: Path, size) -> None:
    copy = own_copy(voyage, tmp_path / "copy")
    with lease(copy, write=True) as con:
        for token, text in HARD.items():
            con.execute("UPDATE vocabulary SET text = ?, token_class = 'word' WHERE token_id = ?", [text, token])
    async with OdysseyApp(copy).run_test(size=size) as pilot:
        screen = await open_tokens(pilot)
        table = types_of(screen)
        shown = {key: table.cells(key) for key in table.keys}
        widths = {column.key: column.width for column in table._columns}
        for cells in shown.values():
            assert [cell_len(cell) for cell in cells] == list(widths.values())
            assert all(char.isprintable() or char == "\u200e" for cell in cells for char in cell)
        first = "".join(cells[0] for cells in shown.values())
        assert "عربي" in first
        assert "\\x1b[31mred" in first
        assert "◌\u064b" in first
        for line in range(size[1]):
            strip = screen.query_one("#types", LongTable).render_line(line)
            assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in strip.text)
        heat = screen.query_one("#heat", Static).content.plain
        assert not any(not char.isprintable() and char != "\n" for char in heat)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (200, 60)])
async def test_it_survives_sizes_keys_and_masks(voyage: Workspace, size) -> None:
    async with OdysseyApp(voyage).run_test(size=size) as pilot:
        screen = await open_tokens(pilot)
        await press(pilot, "j", "m", "n", "J", "enter", "b", "v", "v", "v", "tab", "m", "enter", "escape", "U")
        assert not screen._troubles
        assert screen._masked == frozenset()
