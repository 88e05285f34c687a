"""Losses within a quota: which go first, what stays of them, and what never goes."""

from __future__ import annotations

import time
from contextlib import closing

from store import notes
from store.database import lease
from store.ingest import ingest
from store.journal import Journal, read_events
from store.shards import write_shard
from store.upkeep.check import run_checks
from store.upkeep.quota import Drop, Holding, apply_drops, list_holdings, plan_drops
from store.upkeep.tables import count_rows
from store.workspace import Workspace
from tests.support.synthetic import find_run_dir


def holding(name: str, t: float, *, kept: str = "tokens", valued: bool = False, references: int = 0) -> Holding:
    return Holding(name, "r", kept, {"tokens": 100.0, "documents": 10.0}, valued, references, t)


def test_the_oldest_goes_first_and_what_others_are_compared_with_last() -> None:
    held = [holding("new", 3), holding("old", 1), holding("base", 0, valued=True, references=4), holding("mid", 2)]
    assert [drop.evaluation_id for drop in plan_drops(held, 440, 240)] == ["old", "mid"]
    assert [drop.evaluation_id for drop in plan_drops(held, 440, 140)] == ["old", "mid", "new"]
    assert plan_drops(held, 440, 440) == ()


def test_sums_go_only_when_no_losses_of_tokens_are_left() -> None:
    held = [holding("a", 1), holding("b", 2, kept="documents"), holding("c", 3, kept="summary")]
    assert plan_drops(held, 120, 20) == (Drop("a", "r", "documents", 100.0, False),)
    assert plan_drops(held, 120, 0) == (
        Drop("a", "r", "summary", 110.0, False),
        Drop("b", "r", "summary", 10.0, False),
    )


def test_marked_runs_and_references_are_seen_and_unfinished_runs_left_alone(workspace: Workspace) -> None:
    marked = find_run_dir(workspace, "adapt-docs-r0.25-p15-s").run_id
    notes.tag(workspace, [marked], "paper")
    base, needed = (find_run_dir(workspace, f"pretrain-{size}").run_id for size in ("s", "xs"))
    ingest(workspace)
    with lease(workspace) as con:
        held = list_holdings(con, time.time())
        assert list_holdings(con, 0.0) == []
    by_run = {run_id: [h for h in held if h.run_id == run_id] for run_id in {h.run_id for h in held}}
    assert all(h.valued for h in by_run[marked])
    assert all(h.references for h in by_run[base])
    # A run that is running is adapted from it.
    assert needed not in by_run
    assert not [h for h in by_run[find_run_dir(workspace, "adapt-docs-r0-p5-s").run_id] if h.valued]


def test_losses_that_are_computed_again_are_kept_again(workspace: Workspace) -> None:
    run = find_run_dir(workspace, "adapt-docs-r0.25-p45-xs")
    with lease(workspace, write=True) as con:
        held = [one for one in list_holdings(con, time.time()) if one.run_id == run.run_id]
        losses = con.sql(
            "SELECT evaluation_id, block, losses::FLOAT[] AS losses FROM token_losses WHERE evaluation_id = $1",
            params=[held[0].evaluation_id],
        ).to_arrow_table()
        apply_drops(con, [Drop(one.evaluation_id, run.run_id, "documents", 0, False) for one in held])
    again = run.new_attempt()
    write_shard(again.spool, "token_losses", losses)
    said = next(e for e in read_events(run.attempt(1).events)[0] if e.get("evaluation_id") == held[1].evaluation_id)
    with closing(Journal(again.events)) as journal:
        journal.append(
            "evaluation", **{name: value for name, value in said.items() if name not in ("seq", "t", "event")}
        )
    ingest(workspace)
    with lease(workspace) as con:
        kept = dict(con.execute("SELECT evaluation_id, kept FROM evaluations").fetchall())
    assert kept[held[0].evaluation_id] == "tokens"
    # Words about an evaluation bring no losses back.
    assert kept[held[1].evaluation_id] == "documents"
    assert [what for _, found in run_checks(workspace) for what in found if what.severity == "problem"] == []


def test_each_tier_keeps_what_it_says(workspace: Workspace) -> None:
    with lease(workspace, write=True) as con:
        before = count_rows(con)
        first, second, *_ = list_holdings(con, time.time())
        blocks = con.execute(
            "SELECT count(*) FROM token_losses WHERE evaluation_id IN (?, ?)",
            [first.evaluation_id, second.evaluation_id],
        ).fetchall()[0][0]
        apply_drops(
            con,
            [
                Drop(first.evaluation_id, "r", "documents", 0, False),
                Drop(second.evaluation_id, "r", "summary", 0, False),
            ],
        )
        after = count_rows(con)
        sums = con.execute(
            "SELECT count(*) FILTER (evaluation_id = ?) > 0, count(*) FILTER (evaluation_id = ?) FROM document_losses",
            [first.evaluation_id, second.evaluation_id],
        ).fetchall()[0]
    assert before["token_losses"] - after["token_losses"] == blocks
    assert sums == (True, 0)
    assert after["evaluations"] == before["evaluations"]
    bad = [what for _, found in run_checks(workspace, deep=True) for what in found if what.severity == "problem"]
    assert bad == []
