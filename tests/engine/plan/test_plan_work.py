"""The work that is planned is the work that is done: tokens and steps of real runs, shared and apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.plan.expand import expand
from engine.plan.known import look_up
from engine.plan.shape import shape_of
from engine.plan.trajectory import plan_trajectory
from engine.plan.work import count_steps, plan_training
from engine.spec.load import load_experiment, parse_experiment
from engine.spec.run import Architecture, Evaluation, LossMask, Method, Scheme, Training
from store.errors import ConfigError
from store.workspace import Workspace
from tests.support.inline import execute
from tests.support.tiny import write_experiment

NOTHING = Evaluation(sets=(), scheme=Scheme())


def trained(events):
    """Steps and tokens of a run according to its journal: segments of the trunk and of every branch."""
    steps = tokens = 0
    position = {"trunk": (0, 0)}
    for event in (event for event in events if event["event"] == "metric" and "loss" in event["values"]):
        branch = event["branch"]
        last_step, last_tokens = position.get(branch, position["trunk"])
        steps += event["step"] - last_step
        tokens += event["tokens"] - last_tokens
        position[branch] = (event["step"], event["tokens"])
    return steps, tokens


@pytest.fixture(scope="module", params=[True, False], ids=["shared", "apart"])
def done(request, tmp_path_factory):
    """A tiny grid planned and then really run: the plan, and the journal of every run."""
    folder = tmp_path_factory.mktemp("real")
    path = write_experiment(folder, documents=30)
    share = f"share={str(request.param).lower()}"
    overrides = ["base.ptpp=[1, 2.3]", "adapt.0.replay_ratio=0.25", f"base.{share}", f"adapt.0.{share}"]
    workspace = Workspace.create(folder / "workspace")
    experiment = load_experiment(path, [*overrides, "evaluate.max_tokens=300", "base.training.batch_sequences=3"])
    plan = expand(experiment, look_up(experiment, workspace))
    return request.param, plan, execute(workspace, plan.runs)


def test_tokens_and_steps_are_those_of_the_journal(done):
    _, plan, journals = done
    runs = [run for run in plan.runs if run.job.kind in ("pretrain", "adapt")]
    for run in runs:
        work = plan.work[run.run_id]
        assert trained(journals[run.run_id]) == (work.steps, work.trained_tokens)


def test_models_are_of_the_size_planned(done):
    _, plan, journals = done
    for run in plan.runs:
        for event in journals[run.run_id]:
            if event["event"] == "model" and event.get("run_id"):
                assert event["n_params"] == plan.work[run.run_id].n_params


def test_separate_runs_are_one_per_budget_and_as_many_states(done):
    share, plan, journals = done
    kinds = [run.job.kind for run in plan.runs]
    assert kinds.count("pretrain") == (1 if share else 2)
    assert kinds.count("adapt") == (2 if share else 4)
    states = [e["model_id"] for events in journals.values() for e in events if e["event"] == "model" and "parent" in e]
    assert len([state for state in states if "@atpp" in state]) == 4
    assert len({run.name for run in plan.runs}) == len(plan.runs)


def test_what_sharing_saves_is_what_separate_runs_take(tmp_path):
    path = write_experiment(tmp_path)
    shared = expand(load_experiment(path, ["adapt.0.atpp=[1, 2, 4]"]))
    apart = expand(load_experiment(path, ["adapt.0.atpp=[1, 2, 4]", "adapt.0.share=false"]))
    adapted = [shared.work[run.run_id] for run in shared.runs if run.job.kind == "adapt"]
    taken = sum(apart.work[run.run_id].trained_tokens for run in apart.runs if run.job.kind == "adapt")
    assert sum(work.apart_tokens for work in adapted) == taken > sum(work.trained_tokens for work in adapted)


def test_shared_and_separate_runs_of_one_grid_do_not_collide(tmp_path):
    path = write_experiment(tmp_path)
    grid = {"domain": "poems", "replay_ratio": 0, "atpp": [0.5, 1]}
    both = load_experiment(path, [f"adapt=[{grid}, {grid | {'share': False}}]".replace("False", "false")])
    runs = [run for run in expand(both).runs if run.job.kind == "adapt"]
    assert sorted(run.name for run in runs) == [
        "adapt-poems-r0-p2-xs",
        "adapt-poems-r0-p2-xs-atpp0.5",
        "adapt-poems-r0-p2-xs-atpp1",
    ]
    assert len({run.run_id for run in runs}) == 3


def test_a_single_budget_is_the_same_run_shared_or_not(tmp_path):
    path = write_experiment(tmp_path)
    ids = [
        [run.run_id for run in expand(load_experiment(path, ["adapt.0.atpp=1", f"adapt.0.share={share}"])).runs]
        for share in ("true", "false")
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_decaying_schedules_serve_several_budgets_apart_only(tmp_path, schedule):
    path = write_experiment(tmp_path)
    several = ["base.ptpp=[1, 2]", f"base.training.schedule={schedule}"]
    with pytest.raises(ConfigError, match="cannot serve several"):
        load_experiment(path, several)
    with pytest.raises(ConfigError, match=r"adapt\.0"):
        load_experiment(path, [*several, "base.share=false"])
    found = expand(load_experiment(path, [*several, "base.share=false", "adapt.0.share=false"]))
    assert [run.job.ptpp for run in found.runs if run.job.kind == "pretrain"] == [(1,), (2,)]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_by_hand(accumulate):
    # Budgets of 25 and 50 sequences; steps of 2 or 6; branches leave at 20 or 18 and at 40 or 42.
    training = Training(lr=1, sequence=10, batch_sequences=2, accumulate=accumulate, anneal_share=0.25)
    trajectory = plan_trajectory("tokens", (250, 500), 1, training)
    assert count_steps(trajectory, training) == {1: 20 + 3 + 5, 3: 7 + 2 + 2}[accumulate]
    work = plan_training("tokens", (250, 500), 1, training, n_params=7, evaluation=NOTHING)
    assert work.trained_tokens == {1: (40 + 5 + 10) * 10, 3: (42 + 7 + 8) * 10}[accumulate]
    assert work.apart_tokens == 750
    assert work.flops == 6 * 7 * work.trained_tokens


def test_flops_of_adapters_and_of_what_is_held_to_the_base():
    shape = shape_of(Architecture(n_layer=1, n_embd=8, n_head=1, context=16), 100)
    plain = Training(lr=1, sequence=10, batch_sequences=2)
    held = plain.model_copy(update={"masks": (LossMask(classes=("newline",), treat="kl"),)})

    def flops_per_token(training: Training, method: Method) -> float:
        found = plan_training(
            "tokens", (500,), 1, training, n_params=1000, evaluation=NOTHING, shape=shape, method=method
        )
        return found.flops / found.trained_tokens

    # Rank 2 beside four matrices of 8 by 8 and two of 8 by 32.
    assert flops_per_token(plain, Method(name="lora", rank=2)) == 4 * 1000 + 2 * 2 * (4 * 16 + 2 * 40)
    assert flops_per_token(plain, Method()) == 6 * 1000
    assert flops_per_token(held, Method()) == 8 * 1000


def test_validation_and_blends_count_as_scored():
    training = Training(lr=1, sequence=10, batch_sequences=1, anneal_share=0, validate_every=4, validate_tokens=100)
    evaluation = parse_experiment_evaluation()
    work = plan_training("tokens", (100,), 1, training, n_params=1, evaluation=evaluation, scored_models=3)
    assert work.evaluated_tokens == 3 * 500 + (10 // 4) * 100


def parse_experiment_evaluation():
    text = """\
name: x
corpora: {a: {source: "hf:a"}}
base: {corpora: a, sizes: {s: {n_layer: 1, n_embd: 8, n_head: 1}}, context: 8, ptpp: 9, training: {lr: 1, sequence: 8}}
evaluate: {max_tokens: 500}
"""
    plan = expand(parse_experiment(text, file="x.yaml", folder=Path("/")))
    return next(run.job.evaluation for run in plan.runs if run.job.kind == "pretrain")
