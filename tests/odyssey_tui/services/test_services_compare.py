"""Runs side by side."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from odyssey_tui.services.compare import compare, find_differences
from odyssey_tui.services.compare_figures import draw_curves, draw_plane, read_compared
from odyssey_tui.services.evaluations import bootstrap_change
from odyssey_tui.services.tokenizer_fair import BYTE_UNIT, TOKEN_UNIT
from store.database import lease
from store.errors import OdysseyError
from store.ingest import ingest
from store.queries.tokens import open_pair
from store.upkeep.quota import Drop, apply_drops
from store.workspace import Workspace
from tests.support.synthetic_matrix import Author, Way, matrix_workspace


def named(workspace: Workspace, *beginnings: str) -> list[str]:
    return [next(run for run in workspace.run_ids() if run.startswith(f"{name}-")) for name in beginnings]


def test_only_differing_keys_are_listed() -> None:
    one = {
        "run_id": "a",
        "seed": 0,
        "labels": {"size": "s", "lr": 1},
        "job": {"kind": "adapt", "lr": 1e-3, "atpp": [1, 2], "sets": [{"name": "x"}]},
    }
    other = {
        "run_id": "b",
        "seed": 0,
        "job": {"kind": "adapt", "lr": 2e-3, "atpp": [1, 2], "sets": [{"name": "y"}], "r": 8},
    }
    found = {difference.key: difference.values for difference in find_differences([one, other])}
    assert found == {"size": ("s", "–"), "lr": ("0.001", "0.002"), "sets": ("x", "y"), "r": ("–", "8")}


def test_what_has_a_name_differs_by_name_and_else_by_what_is_inside() -> None:
    source, docs = {"name": "source", "glob": "*", "max_bytes": 10}, {"name": "docs", "glob": "*"}
    specs = [
        {"job": {"replay": [], "target": {"name": "tests", "glob": "a"}, "ptpp": [8, 16.0], "base": None}},
        {"job": {"replay": [source, docs], "target": {"name": "stubs", "glob": "b"}, "ptpp": [8, 16], "base": None}},
    ]
    found = {difference.key: difference.values for difference in find_differences(specs)}
    assert found == {"replay": ("none", "source, docs"), "target": ("tests", "stubs")}
    smaller = {**source, "max_bytes": 5}
    (inside,) = find_differences([{"job": {"replay": [source, docs]}}, {"job": {"replay": [smaller, docs]}}])
    assert (inside.key, inside.values) == ("replay.source.max_bytes", ("10", "5"))


def test_losses_intervals_and_curves_of_adapted_runs(voyage: Workspace) -> None:
    found = compare(voyage, named(voyage, "adapt-docs-r0-p15-s", "adapt-docs-r0.25-p15-s"))
    assert "replay_ratio" in {difference.key for difference in found.differences}
    assert [outcome.role for outcome in found.outcomes] == ["target", "target", "base", "base"]
    for outcome in found.outcomes:
        assert outcome.interval.low < outcome.delta < outcome.interval.high
        assert outcome.interval.mean == pytest.approx(outcome.delta, abs=1e-6)
        assert outcome.bits == pytest.approx(outcome.loss / math.log(2) * 2_490 / 10_000, rel=1e-2)
    first, second = found.outcomes[0], found.outcomes[1]
    assert first.against_first is None
    assert second.against_first.mean == pytest.approx(second.loss - first.loss, abs=1e-6)
    assert len(read_compared(voyage, found)) == 2
    assert {"loss", "lr", "tokens_per_s", "memory_bytes"} <= set(found.metrics)
    assert all(len(steps) == 3 for steps in found.planes.values())
    assert found.unit == TOKEN_UNIT
    assert found.notes == ()


def test_figures_hold_every_run(voyage: Workspace) -> None:
    found = compare(voyage, named(voyage, "adapt-docs-r0-p15-s", "adapt-docs-r0.25-p15-s"))
    curves, plane = draw_curves(read_compared(voyage, found)), draw_plane(found)
    assert [line.label for line in curves.lines] == [run.label for run in found.runs]
    assert [scatter.label for scatter in plane.scatters if scatter.label] == [run.label for run in found.runs]
    assert {line.color for line in curves.lines} == {scatter.color for scatter in plane.scatters}


def test_other_tokenizers_are_not_overlaid(own_voyage: Workspace) -> None:
    with lease(own_voyage, write=True) as con:
        con.execute("UPDATE eval_sets SET tokenizer_id = 'other' WHERE eval_set_id = 'set-headers'")
    runs = named(own_voyage, "adapt-docs-r0-p15-s", "adapt-headers-r0-p15-s")
    found = compare(own_voyage, runs)
    assert found.unit == BYTE_UNIT
    assert read_compared(own_voyage, found) == ()
    assert "loss" not in found.metrics
    assert len(read_compared(own_voyage, found, "lr", "step")) == 2
    assert "different tokenizers" in found.notes[0]
    last = found.planes[runs[0]][-1]
    outcome = next(o for o in found.outcomes if o.run_id == runs[0] and o.role == "target")
    assert last.target_delta == pytest.approx(outcome.bits - outcome.bits_before)


def test_different_sets_and_unfinished_runs_are_told(voyage: Workspace) -> None:
    found = compare(voyage, named(voyage, "adapt-docs-r0-p15-s", "adapt-headers-r0-p15-s", "adapt-headers-r0-p5-xs"))
    notes = " ".join(found.notes)
    assert "target sets differ (docs, headers)" in notes
    assert "Not done yet" in notes


def test_a_run_named_twice_counts_once_and_an_unknown_one_is_an_error(voyage: Workspace) -> None:
    run = named(voyage, "adapt-docs-r0-p15-s")[0]
    assert len(compare(voyage, [run, run]).runs) == 1
    with pytest.raises(OdysseyError, match="nope"):
        compare(voyage, [run, "nope"])


def test_intervals_are_those_of_each_pair_and_none_where_losses_were_dropped(own_voyage: Workspace) -> None:
    runs = named(own_voyage, "adapt-docs-r0-p5-s", "adapt-docs-r0.25-p15-s")
    before = compare(own_voyage, runs)
    with lease(own_voyage, write=True) as con:
        for outcome in before.outcomes:
            pair = open_pair(con, outcome.zero_shot_evaluation_id or "", outcome.evaluation_id)
            assert outcome.interval == bootstrap_change(con, pair)
        gone = before.outcomes[0].zero_shot_evaluation_id
        apply_drops(con, [Drop(str(gone), "r", "summary", 0.0, False)])
    after = compare(own_voyage, runs)
    assert {one.evaluation_id for one in after.outcomes if one.interval is None} == {
        one.evaluation_id for one in before.outcomes if one.zero_shot_evaluation_id == gone
    }
    assert [one.delta for one in after.outcomes] == [one.delta for one in before.outcomes]


def test_the_plane_and_the_legend_name_variants(tmp_path: Path) -> None:
    workspace = matrix_workspace(tmp_path / "w", seeds=(0,))
    author = Author(workspace)
    (author.bases[0],) = (run for run in workspace.run_ids() if run.startswith("pretrain"))
    author.clock.now += 1e6
    named = author.adapt("law", 0, Way(variant="kl"))
    stripped = author.adapt("law", 0, Way(newlines="strip"))
    ingest(workspace)
    plain = next(run for run in workspace.run_ids() if run.startswith("adapt-law-r0-lr0.001-s-"))
    found = compare(workspace, [plain, named, stripped])
    assert [run.variant for run in found.runs] == ["", "kl", "newlines stripped"]
    # A variant that is in the name already is not told twice.
    labels = [scatter.label for scatter in draw_plane(found).scatters if scatter.label]
    assert labels == [found.runs[0].label, found.runs[1].label, f"{found.runs[2].label} (newlines stripped)"]
