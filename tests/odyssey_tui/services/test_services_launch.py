"""Composing a sweep: what is reused, what is new, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from odyssey_tui.services.launch import (
    FieldError,
    Source,
    compose,
    compose_whole,
    find_config,
    list_ready,
    list_sources,
    read_form,
    titles,
)
from store.errors import ConfigError
from store.workspace import Workspace


@pytest.fixture
def form() -> dict[str, str]:
    return read_form(find_config("demo"))


def test_the_form_is_the_first_block(form) -> None:
    assert form["domain"] == "tests"
    assert form["replay_ratio"] == "0, 0.1, 0.25, 0.5"
    assert form["ptpp"] == form["size"] == "all"
    assert form["atpp"] == "0.5, 1, 2, 4"
    assert form["rank"] == form["lr"] == ""


def test_a_sweep_reuses_base_and_corpora(empty: Workspace, form) -> None:
    path = find_config("demo")
    whole = {run.run_id for run in compose_whole(empty, path, ()).runs}
    swept = compose(empty, path, {**form, "replay_ratio": "0.07 .93", "size": "s", "ptpp": "16"})
    new = [run for run in swept.runs if run.run_id not in whole]
    assert [run.labels["replay_ratio"] for run in new] == [0.07, 0.93]
    assert {run.kind for run in swept.runs} == {"prepare", "pretrain", "evaluate", "adapt"}
    assert sum(run.kind == "pretrain" for run in swept.runs) == 1


def test_cells_of_the_experiment_are_the_same_runs(empty: Workspace, form) -> None:
    path = find_config("demo")
    whole = {run.run_id for run in compose_whole(empty, path, ()).runs}
    assert {run.run_id for run in compose(empty, path, form).runs} <= whole
    fewer = compose(empty, path, {**form, "atpp": "2", "replay_ratio": "0.1"})
    assert {run.run_id for run in fewer.runs} <= whole


def test_more_seeds_keep_the_runs_of_the_first(empty: Workspace, form) -> None:
    path = find_config("demo")
    one = {run.run_id for run in compose(empty, path, form).runs}
    two = {run.run_id for run in compose(empty, path, {**form, "seeds": "0, 1"}).runs}
    assert one < two
    assert len(two) == 2 * len(one) - 1  # the preparation serves both


def test_sums_count_what_would_start(empty: Workspace, form) -> None:
    composition = compose(empty, find_config("demo"), form)
    assert composition.new == composition.runs
    assert composition.tokens == sum(run.tokens for run in composition.runs) > 0
    assert composition.seconds is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("replay_ratio", "1.5", "at most 1"),
        ("replay_ratio", "x", "must be a number, not 'x'"),
        ("domain", "tost", "no corpus"),
        ("method", "lorra", "cannot be 'lorra'"),
        ("seeds", "first", "whole number"),
        ("ptpp", "9", "not among base.ptpp"),
        ("size", "xl", "no size of the base"),
        ("atpp", "-1", "above 0"),
    ],
)
def test_a_refused_value_names_its_field(empty: Workspace, form, field: str, value: str, words: str) -> None:
    with pytest.raises(FieldError, match=words) as caught:
        compose(empty, find_config("demo"), {**form, field: value})
    assert caught.value.field == field
    assert "--set" not in caught.value.message


def test_a_missing_budget_is_said_in_the_words_of_the_form(empty: Workspace, form) -> None:
    with pytest.raises(FieldError, match="the sweep has no budget"):
        compose(empty, find_config("demo"), {**form, "atpp": ""})


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


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no experiment 'dmeo'") as caught:
        find_config("dmeo")
    assert "'demo'" in caught.value.hint
