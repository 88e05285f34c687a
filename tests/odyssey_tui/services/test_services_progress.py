"""The pulse and the queue: what they say about files as they are."""

from __future__ import annotations

import json
import shutil

import pytest

from odyssey_tui.services.format import bar, count, duration, signed
from odyssey_tui.services.progress import PulseReader
from odyssey_tui.services.queue import pause_queue, read_queue
from store.errors import WorkspaceError
from store.files import write_json
from store.ingest import ingest
from store.workspace import Workspace


def test_a_pulse_counts_states_and_names_what_runs(voyage) -> None:
    pulse = PulseReader(voyage).read()
    assert dict(pulse.counts) == {"queued": 1, "running": 1, "done": 22, "failed": 1}
    assert pulse.active
    assert not pulse.works
    assert pulse.label.startswith("adapt-docs-r0-p5-xs")


def test_a_pulse_of_the_same_files_is_the_same(voyage) -> None:
    reader = PulseReader(voyage)
    assert reader.read() == reader.read()


def test_news_when_a_journal_grows(own_voyage: Workspace) -> None:
    reader = PulseReader(own_voyage)
    before = reader.read()
    run_id = next(name for name in own_voyage.run_ids() if name.startswith("adapt-docs-r0-p5-xs"))
    with own_voyage.run(run_id).latest_attempt().events.open("a") as journal:
        journal.write('{"seq": 9999, "t": 1800000000.0, "event": "done", "seconds": 1.0}\n')
    after = reader.read()
    assert after.news != before.news
    assert dict(after.counts)["done"] == dict(before.counts)["done"] + 1


def test_news_each_time_a_journal_grows_that_nobody_has_read(own_voyage: Workspace) -> None:
    """Between two looks somebody may have read all there was: news before and after are not the same news."""
    ingest(own_voyage)
    reader = PulseReader(own_voyage)
    run_id = next(name for name in own_voyage.run_ids() if name.startswith("adapt-docs-r0-p5-xs"))
    seen = [reader.read().news]
    for step in (9998, 9999):
        line = {"seq": step, "t": 1.8e9, "event": "metric", "step": step, "tokens": step, "values": {"loss": 3.0}}
        with own_voyage.run(run_id).latest_attempt().events.open("a") as journal:
            journal.write(json.dumps(line) + "\n")
        seen.append(reader.read().news)
    assert len(set(seen)) == 3


def test_a_pause_is_trouble_unless_somebody_asked_for_it(own_voyage: Workspace) -> None:
    workspace, reader = own_voyage, PulseReader(own_voyage)
    known = [trouble.text for trouble in reader.read().troubles]
    assert known == ["adapt-headers-r0-p5-xs failed: the loss became NaN at step 6"]
    write_json(workspace.queue / "paused", {"reason": "asked for", "since": 1.0})
    experiments = {
        "demo": {"reason": "two runs died early", "since": 1.0},
        "other": {"reason": "asked for", "since": 1.0},
    }
    write_json(workspace.queue / "paused_experiments.json", experiments)
    assert [trouble.text for trouble in reader.read().troubles] == ["demo is paused: two runs died early", *known]
    write_json(workspace.queue / "paused", {"reason": "no space", "since": 1.0})
    assert reader.read().troubles[0].text == "the queue is paused: no space"


def test_an_empty_workspace_is_calm(empty: Workspace) -> None:
    pulse = PulseReader(empty).read()
    assert pulse.counts == ()
    assert not pulse.active
    assert pulse.eta_s is None


def test_a_vanished_workspace_is_an_error(own_voyage: Workspace) -> None:
    reader = PulseReader(own_voyage)
    reader.read()
    shutil.rmtree(own_voyage.root)
    with pytest.raises(WorkspaceError):
        reader.read()


def test_the_queue_shows_what_runs_before_what_waits(voyage) -> None:
    view = read_queue(voyage)
    assert [entry.state for entry in view.entries] == ["running", "queued"]
    assert any("no scheduler runs" in note for note in view.notes)


def test_asking_for_a_pause_leaves_a_request(empty: Workspace, monkeypatch) -> None:
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)
    pause_queue(empty)
    assert len(list((empty.queue / "requests").glob("*.json"))) == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1s"), (59, "59s"), (200, "3m20s"), (7500, "2h05m"), (356_400, "4d03h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12, "12"), (999_700, "1M"), (999_400, "999k"), (1_350_000, "1.35M"), (6.2e15, "6.2P"), (0.5, "0.5")],
)
def test_counts(value: float, text: str) -> None:
    assert count(value) == text


def test_differences_have_signs_and_bars_have_widths() -> None:
    assert signed(-0.0312) == "−0.031"
    assert signed(0.0312) == "+0.031"
    assert signed(None) == "–"
    assert bar(0.5, 4) == "██··"
    assert bar(0.0, 4) == "····"
    assert bar(2.0, 4) == "████"
    assert bar(1 / 16, 2) == "▏·"
