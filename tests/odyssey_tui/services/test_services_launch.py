"""Composing a sweep: one block of an experiment, what is reused, what is new, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from odyssey_tui.services.draft import Draft
from odyssey_tui.services.launch import compose, compose_whole, launch
from odyssey_tui.services.starts import (
    Source,
    Start,
    find_config,
    list_experiment_starts,
    list_ready,
    list_run_starts,
    list_sources,
    open_chosen,
    open_run,
    open_start,
    titles,
)
from store.errors import ConfigError
from store.workspace import Workspace
from tests.support.tiny import write_experiment


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch) -> None:
    """What is queued stays queued."""
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: False)


@pytest.fixture
def block() -> Draft:
    """The first block of the demo."""
    return replace(open_start(None, "demo"), block=0)


def changed(draft: Draft, **axes) -> Draft:
    for axis, value in axes.items():
        draft = draft.set(("adapt", draft.block, axis), value)
    return draft


def test_a_sweep_reuses_base_and_corpora(empty: Workspace, block) -> None:
    whole = {run.run_id for run in compose_whole(empty, find_config("demo"), ()).runs}
    swept = compose(empty, changed(block, replay_ratio=[0.07, 0.93], size="s", ptpp=16))
    new = [run for run in swept.runs if run.run_id not in whole]
    assert [run.labels["replay_ratio"] for run in new] == [0.07, 0.93]
    assert {run.kind for run in swept.runs} == {"prepare", "pretrain", "evaluate", "adapt"}
    assert sum(run.kind == "pretrain" for run in swept.runs) == 1


def test_variants_and_line_ends_are_cells_of_their_own(empty: Workspace, block) -> None:
    """Runs that differ from a block's in a variant or in the form of the text alone are not its runs."""
    both = changed(block, replay_ratio=0.1, size="s", ptpp=16, newlines=["keep", "strip"], variant="plain")
    draft = both.set(("adapt", 3), {**both.blocks[0], "newlines": "strip", "variant": "other"})
    names = [run.name for run in compose(empty, draft).runs if run.kind == "adapt"]
    assert names == ["adapt-tests-r0.1-p16-s-plain", "adapt-tests-r0.1-p16-s-nl-strip-plain"]
    names = [run.name for run in compose(empty, replace(draft, block=3)).runs if run.kind == "adapt"]
    assert names == ["adapt-tests-r0.1-p16-s-nl-strip-other"]


def test_a_trajectory_that_was_trained_further_serves_fewer_budgets(empty: Workspace, block) -> None:
    one = changed(block, replay_ratio=0.1, size="s", ptpp=16)
    (cell,) = (run.run_id for run in compose(empty, one).runs if run.kind == "adapt")
    fewer = changed(one, atpp=[2])
    (apart,) = (run.run_id for run in compose(empty, fewer).runs if run.kind == "adapt")
    assert apart != cell, "nothing was run, so nothing is taken along"
    launch(empty, compose(empty, block))
    (taken,) = (run for run in compose(empty, fewer).runs if run.kind == "adapt")
    assert taken.run_id == cell
    assert not taken.starts


def test_other_ratios_keep_what_ran_in_the_record(empty: Workspace, block) -> None:
    launch(empty, compose(empty, block))
    swept = compose(empty, changed(block, replay_ratio=[0.3]))
    assert all(run.labels["replay_ratio"] == 0.3 for run in swept.new)
    launch(empty, swept)
    (newest, _) = (source for source in list_sources(empty) if source.launched)
    ratios = [written["replay_ratio"] for written in newest.open().blocks if written["domain"] == ["tests"]]
    assert ratios == [[0.3], [0.1], [0, 0.1, 0.25, 0.5]]
    assert compose(empty, newest.open()).new == ()


def test_analyses_do_not_stand_in_the_way_of_a_block(empty: Workspace, block) -> None:
    draft = changed(block, domain="library")
    assert {run.labels["domain"] for run in compose(empty, draft).runs if run.kind == "adapt"} == {"library"}
    with pytest.raises(ConfigError, match=r"laws\.domain = tests is not adapted to"):
        compose(empty, replace(draft.unset(("adapt", 2)), block=None))


def test_edited_analyses_are_said_to_be_left_out(empty: Workspace, block) -> None:
    assert not [words for words in compose(empty, block).cautions if words.startswith(("laws", "similarity"))]
    edited = block.set(("laws", "starts"), 7).set(("similarity", "samples"), 9)
    assert "similarity and laws: edited, and left out with the runs of one block" in compose(empty, edited).cautions
    assert any(run.kind == "fit" for run in compose(empty, replace(edited, block=None)).runs)


def test_more_seeds_keep_the_runs_of_the_first(empty: Workspace, block) -> None:
    one = {run.run_id for run in compose(empty, block).runs}
    two = {run.run_id for run in compose(empty, block.set(("seeds",), [0, 1])).runs}
    assert one < two
    assert len(two) == 2 * len(one) - 1  # the preparation serves both


def test_sums_count_what_would_start(empty: Workspace, block) -> None:
    composition = compose(empty, block)
    assert composition.new == composition.runs
    assert composition.tokens == sum(run.tokens for run in composition.runs) > 0
    assert composition.seconds is None


def test_a_block_that_is_not_there_is_refused(empty: Workspace, block) -> None:
    with pytest.raises(ConfigError, match="no adaptation block 3") as caught:
        compose(empty, replace(block, block=3))
    assert caught.value.hint == "Blocks are numbered 0 to 2."


def test_launching_a_part_later_keeps_the_record_of_the_first(empty: Workspace, block) -> None:
    launch(empty, compose(empty, block))
    first = set(empty.run_ids())
    launch(empty, compose(empty, replace(block, block=2)))
    (record,) = empty.experiments.glob("demo-*.json")
    assert first < set(empty.run_ids())
    from engine.launch.experiments import read_launches

    (launched,) = read_launches(empty)
    assert set(launched.runs) == set(empty.run_ids())
    assert record.stem == launched.document.stem


def test_a_past_run_is_a_start(empty: Workspace, tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    path.write_text(
        path.read_text().replace(
            "- {domain: poems, replay_ratio: 0, atpp: [0.5, 1]}",
            "- {domain: poems, replay_ratio: [0, 0.5], atpp: [0.5, 1], lr: [1e-3, 2e-3], newlines: [keep, strip]}",
        )
    )
    launch(empty, compose_whole(empty, path, ()))
    adapted = [run_id for run_id in empty.run_ids() if run_id.startswith("adapt-")]
    assert len(adapted) == 8
    for run_id in adapted:
        draft = open_run(empty, run_id)
        assert [run.run_id for run in compose(empty, draft).runs if run.kind == "adapt"] == [run_id]
    other = compose(empty, open_run(empty, adapted[0]).set(("adapt", 0, "replay_ratio"), 0.25))
    assert [run.kind for run in other.new] == ["adapt"]
    assert {start.kind for start in list_experiment_starts(empty)} == {"launched", "ready"}
    assert {start.name for start in list_run_starts(empty)} == set(adapted)
    name = empty.run(adapted[0]).name()
    assert open_start(empty, name).source == next(one for one in adapted if empty.run(one).name() == name)
    with pytest.raises(ConfigError, match="no experiment 'adapt-poems-r0', and 'adapt-poems-r0' fits 8 runs") as caught:
        open_start(empty, "adapt-poems-r0")
    assert caught.value.hint == "Give more of the identifier."


def test_a_run_that_adapts_nothing_starts_its_experiment(empty: Workspace, tmp_path: Path) -> None:
    launch(empty, compose_whole(empty, write_experiment(tmp_path), ()))
    (base,) = (run_id for run_id in empty.run_ids() if run_id.startswith("pretrain-"))
    draft = open_chosen(empty, Start("run", base))
    assert draft.block is None
    assert draft.name == "tiny"


def test_what_was_launched_comes_first(empty: Workspace, tmp_path: Path) -> None:
    assert open_chosen(empty, None).title == "demo (ready)"
    launch(empty, compose_whole(empty, write_experiment(tmp_path), ()))
    assert open_chosen(empty, None).name == "tiny"
    assert open_chosen(empty, None).block == 0
    assert open_chosen(empty, Start("named", "tiny")).title.startswith("tiny (launched")
    assert open_chosen(empty, Start("ready", "demo")).block is None


def test_sources_are_the_ready_experiments(empty: Workspace) -> None:
    sources = list_sources(empty)
    assert Source("demo", find_config("demo"), False, "A miniature on text that comes with Python") in sources
    assert not any(source.launched for source in sources)


def test_ready_experiments_are_listed_in_lines_that_fit_a_terminal(empty: Workspace) -> None:
    ready = list_ready()
    assert [source.name for source in ready] == sorted(source.name for source in ready)
    lines = titles(ready)
    width = max(len(source.name) for source in ready)
    for source, line in zip(ready, lines, strict=True):
        assert line == f"{source.name:<{width}}  {source.about}"
        assert source.about
        assert len(line) <= 66, "the dialog at 80 columns"
    launched = Source("demo", Path("demo-1a2b.yaml"), True)
    assert titles([launched, *ready])[0] == "demo (launched, demo-1a2b)"


@pytest.mark.parametrize("find", [find_config, lambda name: open_start(None, name)])
def test_an_unknown_name_is_answered_with_the_nearest(find) -> None:
    with pytest.raises(ConfigError, match="no experiment 'dmeo'") as caught:
        find("dmeo")
    assert "'demo'" in caught.value.hint
