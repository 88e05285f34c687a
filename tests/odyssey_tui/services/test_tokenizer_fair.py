"""Losses of two tokenizers on the same text: in bits per byte, or not side by side at all."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.widgets import Static

from odyssey_tui.app import OdysseyApp
from odyssey_tui.cli.main import run
from odyssey_tui.services.compare import compare
from odyssey_tui.services.compare_figures import read_compared
from odyssey_tui.services.overlays import Subject, read_overlay
from odyssey_tui.services.run_groups import arrange
from odyssey_tui.services.runs import compare_losses, list_runs
from odyssey_tui.services.tokenizer_fair import BYTE_UNIT, TOKEN_UNIT, bits_per_byte, judge, judge_sets, weigh
from odyssey_tui.widgets.long_table import LongTable
from store.database import lease
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.piloting import settle
from tests.support.synthetic_matrix import SECOND, SET_TOKENS, Author, effect, matrix_workspace, zero_shot


@dataclass(frozen=True)
class Score:
    eval_set_id: str | None
    tokenizer_id: str | None


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same domain adapted to by models of two tokenizers, one of them with half as many tokens."""
    workspace = matrix_workspace(tmp_path_factory.mktemp("both") / "workspace", seeds=(0,))
    author = Author(workspace, tokenizer_id=SECOND, experiment="second")
    author.prepare()
    author.pretrain(0)
    author.adapt("law", 0)
    ingest(workspace)
    return workspace


def find(workspace: Workspace, *beginnings: str) -> list[str]:
    return [next(one for one in workspace.run_ids() if one.startswith(beginning)) for beginning in beginnings]


LAW = ("adapt-law-r0-lr0.001-s-seed0", "adapt-law-r0-lr0.001-s-second")


def test_one_tokenizer_and_one_set_are_compared_in_nats() -> None:
    fair = judge([Score("law", "gpt2"), Score("law", "gpt2")])
    assert (fair.unit, fair.per_token, fair.one_text, fair.sentence) == (TOKEN_UNIT, True, True, "")
    other_text = judge([Score("law", "gpt2"), Score("web", "gpt2")])
    assert (other_text.per_token, other_text.one_text) == (True, False)
    assert judge([]).per_token


def test_two_tokenizers_are_compared_in_bits_and_the_sentence_names_them() -> None:
    fair = judge([Score("a", "1"), Score("b", "2"), Score("a", "1")], {"1": "gpt2", "2": "OLMo"})
    assert (fair.unit, fair.per_token, fair.one_text) == (BYTE_UNIT, False, False)
    assert fair.sentence.startswith("2 different tokenizers (gpt2; OLMo): ")
    assert "only bits per byte" in fair.sentence
    assert "and 2 more)" in weigh("12345", {one: one for one in "12345"}).sentence
    assert "(" not in weigh("12").sentence


def test_a_tokenizer_that_nobody_recorded_is_told_of() -> None:
    assert weigh([None]).sentence == ""
    for several in ([None, None], ["gpt2", None]):
        fair = weigh(several)
        assert fair.per_token
        assert "only where it is the same" in fair.sentence
    assert not weigh(["gpt2", None, "OLMo"]).per_token


def test_bits_per_byte_by_hand() -> None:
    assert bits_per_byte(math.log(2), 10, 40) == pytest.approx(0.25)
    assert bits_per_byte(None, 10, 40) is None
    assert bits_per_byte(1.0, 10, None) is None


def test_the_same_text_under_two_tokenizers_is_one_text(both: Workspace) -> None:
    with lease(both) as con:
        fair = judge_sets(con, ["set-law", "set-law-second"])
        assert (fair.unit, fair.one_text) == (BYTE_UNIT, True)
        assert "trained on base, 72 tokens; trained on base-second, 72 tokens" in fair.sentence
        assert not judge_sets(con, ["set-law", "set-web"]).one_text
        unrecorded = judge_sets(con, ["set-law", "of an imported table"])
        assert (unrecorded.per_token, unrecorded.one_text) == (True, False)


def test_a_comparison_is_in_bits_and_of_one_text(both: Workspace, capsys) -> None:
    runs = find(both, *LAW)
    found = compare(both, runs)
    assert found.unit == BYTE_UNIT
    assert read_compared(both, found) == ()
    assert len(found.notes) == 1  # the sets are the same text
    first, second = (outcome for outcome in found.outcomes if outcome.role == "target")
    predicted = len([i for i in range(SET_TOKENS) if i % 256])
    assert first.delta_bits == pytest.approx(
        effect("law", "law", 0) * predicted / (math.log(2) * 4 * SET_TOKENS), abs=1e-6
    )
    assert second.delta == pytest.approx(first.delta, abs=1e-6)
    assert second.delta_bits == pytest.approx(first.delta_bits / 2, rel=0.01)
    interval = first.in_bits(first.interval)
    assert interval.mean == pytest.approx(first.delta_bits, rel=1e-6)
    assert interval.low < first.delta_bits < interval.high
    assert run(["-w", str(both.root), "compare", *runs]) == 0
    out = capsys.readouterr().out
    assert "Δ bits/byte" in out
    assert "PPL" not in out
    assert "ΔL  " not in out
    assert run(["-w", str(both.root), "compare", *runs, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert float(rows[0]["delta_bits"]) == pytest.approx(first.delta_bits)
    assert "ppl" not in rows[0]


def test_training_curves_of_a_run_without_evaluations_are_not_overlaid_either(both: Workspace) -> None:
    runs = find(both, "pretrain-s-seed0", "pretrain-s-second")
    assert read_compared(both, compare(both, runs)) == ()
    assert len(read_compared(both, compare(both, [runs[0], find(both, LAW[0])[0]]))) == 2


def test_runs_of_two_tokenizers_are_listed_in_bits(both: Workspace, capsys) -> None:
    rows = list_runs(both)
    assert compare_losses(rows).unit == BYTE_UNIT
    assert compare_losses([row for row in rows if row.experiment == "study"]).per_token
    (law,) = (row for row in rows if row.run_id == find(both, LAW[0])[0])
    assert law.delta_target == pytest.approx(effect("law", "law", 0), abs=1e-6)
    assert law.delta_bits / law.delta_target == pytest.approx(law.bits / law.loss)
    # In nats per token they are the same.
    (group,) = arrange([row for row in rows if row.domain == "law"], sort="loss", group="none")
    assert [row.run_id for row in group.rows] == find(both, LAW[1], LAW[0])
    assert run(["-w", str(both.root), "runs"]) == 0
    told = capsys.readouterr()
    assert "bits/byte" in told.out
    assert "ΔL" not in told.out
    assert "2 different tokenizers" in told.err
    assert run(["-w", str(both.root), "runs", "--filter", "experiment=study"]) == 0
    told = capsys.readouterr()
    assert "ΔL target" in told.out
    assert "tokenizers" not in told.err
    assert run(["-w", str(both.root), "runs", "--json", "-f", "delta_bits<-0.3 and tokenizer=bpe-synthetic"]) == 0
    assert [row["run"] for row in json.loads(capsys.readouterr().out)] == [law.run_id]


def test_the_preview_draws_curves_of_one_tokenizer_and_counts_the_others(both: Workspace) -> None:
    runs = find(both, *LAW, "adapt-web")
    curves, note = read_overlay(both, [Subject(run, (run,)) for run in runs], "loss", "tokens")
    assert len(curves) == 2
    assert note == "without 1 of another tokenizer"
    curves, note = read_overlay(both, [Subject(run, (run,)) for run in runs[::2]], "loss", "tokens")
    assert (len(curves), note) == (2, "")
    assert read_overlay(both, (), "loss", "tokens") == ((), "")


async def test_the_runs_screen_says_why_it_shows_bits(both: Workspace) -> None:
    async with OdysseyApp(both).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        screen = pilot.app.base_screen
        titles = [column.title.strip() for column in screen.query_one(LongTable).columns]
        assert "Δb tgt" in titles
        assert "ΔL tgt" not in titles
        assert "2 different tokenizers" in str(screen.query_one("#fair", Static).render())
        await pilot.press("slash", *"experiment=study", "enter")
        await settle(pilot)
        titles = [column.title.strip() for column in screen.query_one(LongTable).columns]
        assert "ΔL tgt" in titles
        assert not screen.query_one("#fair").display


def test_the_losses_are_those_of_the_synthetic_texts(both: Workspace, tmp_path: Path) -> None:
    with lease(both) as con:
        found = con.execute(
            "SELECT delta, zero_shot_loss FROM adaptation_points WHERE domain = 'novels' AND role = 'base'"
        ).fetchall()
    assert found[0] == pytest.approx((effect("novels", "base", 0), zero_shot("base")), abs=1e-6)


def test_a_law_is_fitted_to_losses_of_one_tokenizer(both: Workspace) -> None:
    from engine.jobs.points import adaptation_sample, read_records

    sample = adaptation_sample(read_records(both, both.run_ids()), "law", "target")
    assert sorted(sample.points.split) == ["excluded", "fit"]
    assert sorted(sample.points.reason) == ["", "evaluated on another set"]
