"""Submitting plans: once, again, half-way, and after failures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.launch.entry import say
from engine.launch.experiments import read_launches
from engine.launch.requests import cancel, read_requests
from engine.launch.submit import preview, submit
from engine.launch.tickets import read_ticket, ticketed
from engine.plan.expand import expand
from engine.spec.load import load_experiment
from engine.spec.run import Resources, RunSpec
from store.errors import DataError
from store.workspace import Workspace

DEMO = Path(__file__).parents[3] / "sample_configs" / "demo.yaml"


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "workspace")


@pytest.fixture(scope="module")
def plan():
    return expand(load_experiment(DEMO, ["adapt.0.replay_ratio=[0]", "adapt.0.size=[xs]", "similarity=null"]))


def test_every_run_gets_a_directory_and_a_ticket(workspace, plan):
    submitted = submit(workspace, plan)
    assert set(submitted.new) == ticketed(workspace) == set(workspace.run_ids()) == {run.run_id for run in plan.runs}
    assert json.loads(json.dumps(plan.runs[0].model_dump(mode="json"))) == workspace.run(plan.runs[0].run_id).spec()
    orders = {run.run_id: read_ticket(workspace, run.run_id).order for run in plan.runs}
    assert min(orders, key=orders.get) == plan.runs[0].run_id


def test_again_changes_nothing(workspace, plan):
    submit(workspace, plan)
    tickets = {run_id: read_ticket(workspace, run_id) for run_id in ticketed(workspace)}
    again = submit(workspace, plan)
    assert (again.new, again.retried) == ((), ())
    assert {run_id: read_ticket(workspace, run_id) for run_id in ticketed(workspace)} == tickets


def test_an_interrupted_submission_is_completed(workspace, plan):
    submit(workspace, plan)
    lost = plan.runs[2].run_id
    (workspace.queue / "tickets" / f"{lost}.json").unlink()
    submit(workspace, plan)
    assert lost in ticketed(workspace)


def test_finished_work_is_left_and_failed_work_is_retried(workspace, plan):
    submit(workspace, plan)
    stopped, done = plan.runs[1].run_id, plan.runs[0].run_id
    say(workspace.run(stopped), "cancelled", reason="")
    attempt = workspace.run(done).new_attempt()
    attempt.events.write_text('{"seq":0,"t":1.0,"event":"done","seconds":1}\n')
    for run_id in (stopped, done):
        (workspace.queue / "tickets" / f"{run_id}.json").unlink()
    assert preview(workspace, plan.runs).retried == (stopped,)
    submitted = submit(workspace, plan)
    assert submitted.retried == (stopped,)
    assert done in submitted.existing
    assert not {stopped, done} & ticketed(workspace)
    assert [(request.action, request.runs) for request in read_requests(workspace)] == [("retry", (stopped,))]


def test_a_run_that_is_tried_again_takes_what_is_asked_for_now(workspace, plan):
    submit(workspace, plan)
    stopped, waiting, *_ = (run.run_id for run in plan.runs if run.job.kind == "pretrain")
    say(workspace.run(stopped), "cancelled", reason="")
    wider = [run.model_copy(update={"resources": Resources(processes=2)}) for run in plan.runs]
    submit(workspace, replace(plan, runs=tuple(wider)))
    found = {run_id: RunSpec.model_validate(workspace.run(run_id).spec()) for run_id in (stopped, waiting)}
    before = {run.run_id: run for run in plan.runs}
    assert found[stopped].resources == Resources(processes=2)
    assert found[stopped].job == before[stopped].job
    # What waits may be given out at any moment: it stays as it is.
    assert found[waiting] == before[waiting]


def test_the_launched_experiment_is_kept(workspace, plan):
    submit(workspace, plan)
    (launched,) = read_launches(workspace)
    assert (launched.name, launched.runs) == ("demo", tuple(run.run_id for run in plan.runs))
    assert expand(load_experiment(launched.document)).runs == plan.runs


def test_requests_name_runs_that_exist(workspace):
    with pytest.raises(DataError, match="no run 'nobody'"):
        cancel(workspace, ["nobody"])
