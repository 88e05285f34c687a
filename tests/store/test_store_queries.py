"""Queries by noun, on the synthetic workspace, against its known truth."""

from __future__ import annotations

import dataclasses
import math
import os

import duckdb
import numpy as np
import pytest

from engine.laws.forms import find_form
from store.errors import OdysseyError
from store.queries import curves, evaluations, fits, points, runs, similarity
from store.workspace import Workspace
from tests.support import synthetic_law as law
from tests.support.synthetic_text import WINDOW


def run_named(con: duckdb.DuckDBPyConnection, name: str) -> runs.RunRow:
    return runs.find_run(con, name)


def test_runs_come_with_everything_a_table_shows(con: duckdb.DuckDBPyConnection) -> None:
    rows = runs.list_runs(con)
    assert [row.name for row in rows[:3]] == ["prepare", "pretrain-xs", "pretrain-s"]
    states = [row.state for row in rows]
    assert {state: states.count(state) for state in set(states)} == {"done": 22, "running": 1, "failed": 1, "queued": 1}
    adapted = run_named(con, "adapt-headers-r0-p15-s")
    assert (adapted.domain, adapted.size, adapted.method, adapted.ptpp, adapted.seed) == (
        "headers",
        "s",
        "full",
        15.0,
        0,
    )
    assert adapted.labels["lr"] == 1e-3
    assert (adapted.state, adapted.done) == ("done", adapted.total)
    assert adapted.train_loss == pytest.approx(2.9, abs=0.1)
    assert adapted.tokens_per_s == pytest.approx(15_000, rel=0.2)
    assert adapted.atpp == 4.0
    assert adapted.target_loss == pytest.approx(law.predict_loss("target", 400_000, 15.0, 1_600_000, 0.0), rel=0.02)
    assert adapted.target_delta < -0.3
    assert adapted.base_delta > 0.3
    assert run_named(con, "adapt-tables-r0-p15-s").n_warnings == 1


def test_the_runs_that_are_not_done_say_why(con: duckdb.DuckDBPyConnection) -> None:
    by_state = {row.state: row for row in runs.list_runs(con)}
    running = by_state["running"]
    assert (running.pid, running.done / running.total, running.eta_s) == (os.getpid(), 0.4, 90.0)
    assert running.heartbeat > running.started
    failed = by_state["failed"]
    assert failed.reason == "the loss became NaN at step 6"
    assert "learning rate" in failed.hint
    assert failed.ended is not None
    assert by_state["queued"].total == 0


def test_rows_hold_exactly_their_fields(con: duckdb.DuckDBPyConnection) -> None:
    row = runs.trace_lineage(con, f"{run_named(con, 'pretrain-s').run_id}@ptpp15")[0]
    assert dataclasses.replace(row) == row
    assert set(vars(row)) == {field.name for field in dataclasses.fields(row)}
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.ptpp = 1.0


def test_a_run_is_found_by_identifier_name_or_unique_beginning(con: duckdb.DuckDBPyConnection) -> None:
    run_id = run_named(con, "similarity").run_id
    assert run_named(con, run_id).run_id == run_named(con, run_id[:5]).run_id == run_id
    with pytest.raises(OdysseyError, match=r"'adapt-docs' fits 13 runs: adapt-docs-.* and 5 more"):
        run_named(con, "adapt-docs")
    for nothing in ("ghost", ""):
        with pytest.raises(OdysseyError, match="no run is called"):
            run_named(con, nothing)
    with pytest.raises(OdysseyError, match="no run is called 'pretain-s'") as caught:
        run_named(con, "pretain-s")
    assert caught.value.hint == "Did you mean 'pretrain-s'? `odyssey runs` lists all runs."
    wanted = ["similarity", "pretrain-s"]
    assert [row.name for row in runs.find_runs(con, wanted)] == wanted


def test_specification_lineage_and_mixture(con: duckdb.DuckDBPyConnection) -> None:
    row = run_named(con, "adapt-docs-r0.25-p15-s")
    assert runs.read_spec(con, row.run_id)["job"]["replay_ratio"] == 0.25
    states = [line for line in evaluations.list_evaluations(con, [row.run_id]) if line.role == "target"]
    assert [state.atpp for state in states] == list(law.ATPP)
    line = runs.trace_lineage(con, states[-1].model_id)
    assert [model.ptpp for model in line] == [15.0, 15.0]
    assert line[0].model_id == line[1].parent
    assert runs.find_mixture(con, row.run_id).replay_realised == pytest.approx(0.25, abs=1e-4)
    assert runs.find_mixture(con, run_named(con, "prepare").run_id) is None


def test_curves_are_split_by_run_and_branch(con: duckdb.DuckDBPyConnection) -> None:
    chosen = [run_named(con, name).run_id for name in ("pretrain-s", "adapt-docs-r0-p5-s")]
    assert curves.list_metrics(con, chosen) == ["flops", "grad_norm", "loss", "lr", "memory_bytes", "tokens_per_s"]
    series = curves.read_curves(con, chosen, "loss")
    assert [(one.run_id, one.branch, len(one.step)) for one in series] == [(run_id, "trunk", 60) for run_id in chosen]
    assert (np.diff(series[0].step) > 0).all()
    assert series[0].value[0] > series[0].value[-1]
    assert curves.read_curves(con, chosen, "no such metric") == []
    other_way = curves.read_curves(con, chosen[::-1], "loss", branch="trunk")
    assert [one.run_id for one in other_way] == chosen[::-1]
    assert [one.value.tolist() for one in other_way] == [one.value.tolist() for one in series[::-1]]


METRICS = (
    "CREATE TABLE metrics (run_id VARCHAR, attempt INTEGER, seq BIGINT, t DOUBLE, step BIGINT, tokens BIGINT, "
    "branch VARCHAR, name VARCHAR, value DOUBLE)"
)


@pytest.mark.parametrize("odd", [None, 1_764_500_000_000_000])
def test_steps_that_are_unknown_or_as_large_as_times_split_no_curve(odd: int | None) -> None:
    with duckdb.connect() as con:
        con.execute(METRICS)
        for run_id, step in (("a", 1), ("a", 2), ("b", 1), ("b", 2), ("a", odd)):
            con.execute("INSERT INTO metrics VALUES (?, 1, 1, 0, ?, NULL, 'trunk', 'loss', 1.0)", [run_id, step])
        first, second = curves.read_curves(con, ["a", "b"], "loss")
    assert (first.run_id, second.run_id) == ("a", "b")
    np.testing.assert_array_equal(first.step, [1, 2, np.nan if odd is None else odd])
    assert second.step.tolist() == [1, 2]


def test_of_a_step_that_was_repeated_the_newest_attempt_counts() -> None:
    with duckdb.connect() as con:
        con.execute(METRICS)
        # A worker was killed after step 3 and went on from step 1; the annealed branch was trained once.
        points = [(2, 2, 3, 3.2), (1, 1, 1, 1.1), (1, 3, 3, 3.1), (1, 2, 2, 2.1), (2, 1, 2, 2.2), (2, 3, 4, 4.2)]
        for attempt, seq, step, value in points:
            con.execute(
                "INSERT INTO metrics VALUES ('a', ?, ?, 0, ?, 7, 'trunk', 'loss', ?)", [attempt, seq, step, value]
            )
        con.execute("INSERT INTO metrics VALUES ('a', 1, 9, 0, 1, NULL, 'atpp4', 'loss', 9.0)")
        trunk, branch = curves.read_curves(con, ["b", "a"], "loss")
    assert (trunk.branch, branch.branch) == ("trunk", "atpp4")
    assert (trunk.step.tolist(), trunk.value.tolist()) == ([1, 2, 3, 4], [1.1, 2.2, 3.2, 4.2])
    assert np.isnan(branch.tokens).all()


def test_evaluations_carry_the_units_of_the_field(con: duckdb.DuckDBPyConnection) -> None:
    row = run_named(con, "adapt-docs-r0-p5-s")
    found = evaluations.list_evaluations(con, [row.run_id])
    assert [(entry.role, entry.atpp) for entry in found] == [
        *(("target", atpp) for atpp in law.ATPP),
        *(("base", atpp) for atpp in law.ATPP),
    ]
    for entry in found:
        assert entry.ppl == pytest.approx(math.exp(entry.loss))
        assert entry.bits_per_byte == pytest.approx(entry.loss * entry.predicted / math.log(2) / entry.n_bytes)
        assert entry.delta == pytest.approx(entry.loss - entry.zero_shot_loss)
        zero = evaluations.find_evaluation(con, entry.zero_shot_evaluation_id)
        assert (zero.model_id, zero.loss, zero.delta) == (entry.parent, entry.zero_shot_loss, None)
        assert entry.has_tokens
    assert row.target_delta == found[2].delta
    assert found[0].state == "atpp1"
    assert found[0].scheme["window"] == 256
    assert found[2].zero_shot_loss == pytest.approx(law.zero_shot_loss("target", "docs", law.SIZES["s"], 5.0), abs=1e-5)


def test_a_base_state_has_no_zero_shot(con: duckdb.DuckDBPyConnection) -> None:
    found = evaluations.list_evaluations(con, [run_named(con, "pretrain-xs").run_id])
    assert len(found) == 7 * 3
    assert all(entry.delta is None and entry.zero_shot_evaluation_id is None for entry in found)
    assert evaluations.list_model_evaluations(con, [found[0].model_id])[0].model_id == found[0].model_id
    with pytest.raises(OdysseyError, match="no evaluation is called"):
        evaluations.find_evaluation(con, "zzz")


def test_adaptation_points_match_the_law_behind_them(con: duckdb.DuckDBPyConnection) -> None:
    found = points.adaptation_points(con, experiment="demo", domain="docs", method="full")
    assert len(found) == 11 * 3 * 2
    for point in found:
        truth = law.predict_loss(point.role, point.n_params, point.ptpp, point.adapt_tokens, point.replay_ratio)
        assert point.loss == pytest.approx(truth, rel=0.02)
        assert point.share == (point.replay_ratio if point.role == "base" else 1 - point.replay_ratio)
        quality = law.zero_shot_loss("base", "base", point.n_params, point.ptpp)
        assert point.base_zero_shot_loss == pytest.approx(quality, abs=1e-5)
        assert point.replay_realised == pytest.approx(point.replay_ratio, abs=WINDOW / point.adapt_tokens)
    assert points.adaptation_points(con, experiment="other") == []
    assert len(points.adaptation_points(con, role="target", method="lora")) == 3


def test_the_replay_share_is_that_of_the_state(con: duckdb.DuckDBPyConnection) -> None:
    run_id = run_named(con, "adapt-docs-r0.25-p15-xs").run_id
    realised = con.execute(
        "SELECT target_tokens + replay_tokens, replay_realised FROM mixtures WHERE run_id = ?", [run_id]
    ).fetchall()
    assert len(set(realised)) == len(law.ATPP)
    found = [point for point in points.adaptation_points(con) if point.run_id == run_id]
    assert {(point.adapt_tokens, point.replay_realised) for point in found} == set(realised)


def test_points_whose_base_was_not_evaluated_stay_without_a_delta(synthetic: Workspace) -> None:
    with duckdb.connect() as scratch:
        scratch.execute(f"ATTACH '{synthetic.database_path}' AS stored (READ_ONLY)")
        scratch.execute("COPY FROM DATABASE stored TO memory")
        scratch.execute("DELETE FROM evaluations WHERE model_id LIKE 'pretrain%'")
        found = points.adaptation_points(scratch)
    assert found
    assert all(point.delta is None and point.zero_shot_loss is None and point.loss > 0 for point in found)


def test_base_points_are_the_zero_shot_losses(con: duckdb.DuckDBPyConnection) -> None:
    found = points.base_points(con)
    assert len(found) == 2 * 3 * 7
    assert {point.n_params for point in found} == set(law.SIZES.values())


def test_similarities_come_once_per_measure_and_domain(con: duckdb.DuckDBPyConnection) -> None:
    rows = similarity.similarities(con)
    assert len(rows) == len({(row.measure, row.domain) for row in rows}) == 12
    assert {row.measure: row.higher_is_closer for row in rows} == {"cosine": True, "jsd": False}
    assert all(row.low < row.value < row.high for row in rows)


def test_fits_come_with_points_and_draws(con: duckdb.DuckDBPyConnection) -> None:
    found = fits.list_fits(con)
    assert [(fit.role, fit.form) for fit in found] == [
        ("target", "dcpt"),
        ("target", "ptpp_gated_floor"),
        ("base", "dcpt"),
        ("base", "ptpp_gated_floor"),
    ]
    gated = next(fit for fit in fits.list_fits(con, experiment="demo") if fit.form == "ptpp_gated_floor")
    assert fits.list_fits(con, experiment="other") == []
    assert gated.params == law.PARAMETERS["target"]
    assert list(gated.params) == list(find_form("ptpp_gated_floor").names)
    assert pytest.approx(law.P0) == gated.P0
    assert (gated.fit_ptpp, gated.score_ptpp) == ([5.0, 15.0], [45.0])
    stored = fits.read_points(con, gated.fit_id)
    assert [point.point for point in stored] == list(range(33))
    assert sum(point.split == "score" for point in stored) == gated.scores["n"] == 9
    assert fits.read_draws(con, gated.fit_id).shape == (40, len(gated.params))
    assert fits.read_draws(con, "none").shape == (0, 0)
