"""The similarity command and screen on a workspace written through real journals."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from odyssey_tui.cli.main import run
from odyssey_tui.services.similarity import scatter
from store.journal import Journal
from store.run_dir import create_run
from store.workspace import Workspace

DOMAINS = ("tests", "headers", "licences", "readmes", "tables", "cython", "stubs")
DISTANCES = (0.0100, 0.0193, 0.0180, 0.0201, 0.2761, 0.0218, 0.0320)
DELTAS = (-0.061, -0.31, -0.42, 0.012, -1.13, -0.24, -0.37)
PREDICTED = 30_000


def write_workspace(path: Path, *, similarities: bool = True, adapted: bool = True) -> Workspace:
    """A base model, seven adapted domains and two measures through two embedders."""
    workspace = Workspace.create(path)
    base = start(workspace, "base", {"kind": "pretrain"})
    model(base, "base@ptpp16", "base", ptpp=16.0)
    for domain in DOMAINS:
        base.append("eval_set", eval_set_id=f"set-{domain}", name=domain, role="target", n_tokens=PREDICTED)
        evaluation(base, f"before-{domain}", "base@ptpp16", domain, 3.0)
    base.append("done", seconds=1.0)
    for domain, delta in zip(DOMAINS, DELTAS, strict=True) if adapted else ():
        name = f"adapt-{domain}"
        journal = start(workspace, name, {"kind": "adapt"}, domain=domain)
        model(journal, f"{name}@atpp4", name, 16.0, parent="base@ptpp16", domain=domain, atpp=4.0)
        evaluation(journal, f"after-{domain}", f"{name}@atpp4", domain, 3.0 + delta)
        journal.append("done", seconds=1.0)
    measured = start(workspace, "measured", {"kind": "similarity"})
    for domain, distance in zip(DOMAINS, DISTANCES, strict=True) if similarities else ():
        place(measured, domain, "mmd2", "model", distance, 0.3, False)
        place(measured, domain, "mmd2", "ngrams", distance / 2, 0.2, False)
        place(measured, domain, "cosine", "model", math.exp(-4 * distance), 0.01, True)
        place(measured, domain, "jsd", "tokens", math.sqrt(distance), 0.1, False)
    measured.append("done", seconds=1.0)
    return workspace


def start(workspace: Workspace, run_id: str, job: dict, domain: str | None = None) -> Journal:
    labels = {"domain": domain, "size": "s", "method": "full", "replay_ratio": 0.1, "ptpp": 16.0, "seed": 0}
    spec = {"format": 1, "run_id": run_id, "name": run_id, "experiment": "demo", "needs": [], "labels": labels}
    journal = Journal(create_run(workspace, {**spec, "seed": 0, "job": job}).new_attempt().events)
    journal.append("starting", host="here", pid=1, device="cpu", versions={}, git="")
    return journal


def model(journal: Journal, model_id: str, run_id: str, ptpp: float, **adapted) -> None:
    facts = {"method": "full", "replay_ratio": 0.1, "adapt_tokens": 136_000} if adapted else {}
    journal.append("model", model_id=model_id, run_id=run_id, n_params=34_000, ptpp=ptpp, **facts, **adapted)


def evaluation(journal: Journal, evaluation_id: str, model_id: str, domain: str, loss: float) -> None:
    journal.append(
        "evaluation",
        evaluation_id=evaluation_id,
        model_id=model_id,
        eval_set_id=f"set-{domain}",
        role="target",
        scheme={"kind": "blocks", "window": 64},
        predicted=PREDICTED,
        sum_loss=loss * PREDICTED,
        n_bytes=90_000,
        seconds=1.0,
    )


def place(
    journal: Journal, domain: str, measure: str, embedder: str, value: float, spread: float, closer: bool
) -> None:
    journal.append(
        "similarity",
        domain=domain,
        reference="source+docs",
        measure=measure,
        embedder=embedder,
        encoder="base@ptpp16" if embedder == "model" else "tok",
        value=value,
        low=value * (1 - spread),
        high=value * (1 + spread),
        n_samples=256,
        seed=0,
        higher_is_closer=closer,
    )


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return write_workspace(tmp_path / "workspace")


def test_service_reads_what_the_journals_say(workspace) -> None:
    found = scatter(workspace)
    assert [p.domain for p in found.points] == ["tests", "licences", "headers", "readmes", "cython", "stubs", "tables"]
    by_domain = {p.domain: p for p in found.points}
    for domain, delta, distance in zip(DOMAINS, DELTAS, DISTANCES, strict=True):
        point = by_domain[domain]
        assert point.delta == pytest.approx(delta)
        assert (point.value, point.similarity) == pytest.approx((distance, -distance))
        assert (point.evaluation_before, point.evaluation_after) == (f"before-{domain}", f"after-{domain}")
    assert found.cell.text == "size s, PTPP 16, replay 0.1, ATPP 4, full"
    assert (found.reference, found.encoder, found.n_samples) == ("source+docs", "base@ptpp16", 256)
    assert len(found.agreement) == 5


def call(workspace: Workspace, *arguments: str) -> int:
    return run(["--workspace", str(workspace.root), "similarity", *arguments])


def test_command_prints_figure_table_and_sentence_in_80_columns(workspace, capsys) -> None:
    assert call(workspace) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    sentence = scatter(workspace).sentence
    assert sentence in out
    assert "n = 7" in sentence
    table = out[out.index("r without") :]
    assert all(domain in table for domain in DOMAINS)
    assert "Without tables r = .4" in out
    assert "ΔL against MMD² · model" in out
    assert "▸ mmd2 · model" in out
    assert "Reference: source+docs, encoder base@ptpp16 from 256 samples a domain." in out


def test_command_gives_json_and_csv_with_full_precision(workspace, capsys) -> None:
    assert call(workspace, "--measure", "cosine", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["view"] == {"measure": "cosine", "embedder": "model"}
    assert content["pearson"]["n"] == 7
    assert content["sentence"].startswith("r = ")
    assert call(workspace, "--embedder", "ngrams", "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    tests = next(row for row in rows if row["domain"] == "tests")
    assert float(tests["value"]) == 0.005
    assert float(tests["value_low"]) < 0.005 < float(tests["value_high"])
    assert float(tests["similarity"]) == -0.005
    assert (tests["evaluation_before"], tests["evaluation_after"]) == ("before-tests", "after-tests")


def test_command_warns_of_the_coupling(workspace, capsys) -> None:
    assert call(workspace, "--measure", "zero_shot") == 0
    assert "partly there by construction" in capsys.readouterr().out


def test_command_names_the_measures_there_are(workspace, capsys) -> None:
    assert call(workspace, "--measure", "frechet") == 4
    captured = capsys.readouterr()
    assert "no similarity by 'frechet'" in captured.err
    assert "mmd2 (ngrams)" in captured.err
    assert captured.out == ""


def test_command_on_an_unfinished_workspace_says_what_is_missing(tmp_path, capsys) -> None:
    assert call(write_workspace(tmp_path / "a", similarities=False)) == 0
    assert "No similarity has been computed" in capsys.readouterr().out
    assert call(write_workspace(tmp_path / "b", adapted=False), "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["points"] == []
    assert "no domain has been adapted" in content["reason"]


async def open_screen(pilot) -> None:
    await pilot.press("5")
    await settle(pilot)


async def settle(pilot) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_screen_shows_chart_finding_and_domains(workspace, size) -> None:
    from textual.widgets import Static

    from odyssey_tui.app import OdysseyApp
    from odyssey_tui.widgets.chart import Chart
    from odyssey_tui.widgets.keyed_table import KeyedTable

    app = OdysseyApp(workspace)
    async with app.run_test(size=size) as pilot:
        await open_screen(pilot)
        screen = app.base_screen
        assert screen.query_one(KeyedTable).row_count == 7
        assert str(screen.query_one("#finding", Static).content) == scatter(workspace).sentence
        text = screen.query_one(Chart).figure.render(60, 12, color=False)
        assert "tables" in text
        assert screen.query_one(KeyedTable).region.bottom <= size[1] - 2
        assert screen.query_one(Chart).region.height >= 8


async def test_keys_step_through_measures_and_embedders(workspace) -> None:
    from odyssey_tui.app import OdysseyApp
    from odyssey_tui.widgets.chart import Chart

    app = OdysseyApp(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_screen(pilot)
        chart = app.base_screen.query_one(Chart)
        titles = [chart.figure.title]
        for key in ("e", "m", "m", "m", "m"):
            await pilot.press(key)
            await settle(pilot)
            titles.append(chart.figure.title)
        assert [title.removeprefix("ΔL against ") for title in titles] == [
            "MMD² · model",
            "MMD² · ngrams",
            "cosine of means · model",
            "unigram JSD, bits",
            "zero-shot loss",
            "MMD² · model",
        ]


async def test_enter_sends_the_pair_to_the_tokens_screen(workspace, monkeypatch) -> None:
    from odyssey_tui.app import OdysseyApp

    app = OdysseyApp(workspace)
    sent = []

    async def go(name: str, context: object = None) -> None:
        sent.append((name, context))

    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot)
        monkeypatch.setattr(app, "go", go)
        await pilot.press("j", "enter")
        await pilot.pause()
    assert sent == [("tokens", ("before-licences", "after-licences"))]


async def test_empty_screen_teaches_what_to_press(tmp_path) -> None:
    from odyssey_tui.app import OdysseyApp

    app = OdysseyApp(write_workspace(tmp_path / "w", similarities=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot)
        await pilot.press("m", "e", "enter")
        await settle(pilot)
        shown = app.export_screenshot()
        for words in ("No similarity has been computed", "launch an experiment"):
            assert words.replace(" ", "&#160;") in shown


async def test_screen_follows_new_results(tmp_path) -> None:
    from odyssey_tui.app import OdysseyApp
    from odyssey_tui.widgets.keyed_table import KeyedTable

    workspace = write_workspace(tmp_path / "w", adapted=False)
    app = OdysseyApp(workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot)
        assert app.base_screen.query_one(KeyedTable).row_count == 0
        for domain in DOMAINS[:4]:
            journal = start(workspace, f"adapt-{domain}", {"kind": "adapt"}, domain=domain)
            model(journal, f"{domain}@atpp4", f"adapt-{domain}", 16.0, parent="base@ptpp16", domain=domain, atpp=4.0)
            evaluation(journal, f"after-{domain}", f"{domain}@atpp4", domain, 2.5)
            journal.append("done", seconds=1.0)
        await pilot.press("r")
        await settle(pilot)
        assert app.base_screen.query_one(KeyedTable).row_count == 4
