"""What a plan takes: time from finished runs or a calibration, disk, and what sharing saves."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from odyssey_tui.cli.launch import COLUMNS, table_row
from odyssey_tui.services import composition, timing
from odyssey_tui.services.composition import describe
from odyssey_tui.services.launch import compose, compose_whole, launch
from odyssey_tui.services.plan_words import caution_repeated, details, mixture_lines, sharing_text
from odyssey_tui.services.starts import open_start
from odyssey_tui.services.timing import Pace, calibrate, distinct_cases, read_speeds
from store.errors import DataError, WorkspaceError
from store.ingest import ingest
from store.journal import read_events
from store.queries.speeds import Speed
from store.space import Room
from store.workspace import Workspace
from tests.support.inline import execute
from tests.support.tiny import write_experiment


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Workspace, Path]:
    """A workspace in which the tiny experiment was run, and its file."""
    folder = tmp_path_factory.mktemp("tiny")
    path = write_experiment(folder, documents=30)
    workspace = Workspace.create(folder / "workspace")
    execute(workspace, compose_whole(workspace, path, ()).plan.runs)
    ingest(workspace)
    return workspace, path


def speed(**changes) -> Speed:
    found = {"kind": "adapt", "device": "cpu", "n_params": 1000, "precision": "fp32", "method": "full", "world": 1}
    return Speed(**{**found, "runs": 2, "flops": 1e9, "seconds": 10.0, **changes})


def test_time_is_that_of_finished_runs_like_it(tiny) -> None:
    workspace, path = tiny
    found = compose_whole(workspace, path, ["adapt.0.replay_ratio=[0, 0.5]"])
    (new,) = found.new
    assert new.name == "adapt-poems-r0.5-p2-xs"
    (done,) = (run for run in found.runs if run.kind == "adapt" and not run.starts)
    (measured,) = (one for one in read_speeds(workspace) if one.kind == "adapt")
    assert new.flops == done.flops == measured.flops
    assert new.seconds == pytest.approx(measured.seconds)
    assert found.seconds == pytest.approx(new.seconds)
    assert found.timed == 1


def test_runs_of_another_precision_or_size_tell_nothing(tiny) -> None:
    workspace, path = tiny
    changed = ["adapt.0.replay_ratio=0.5", "adapt_training={lr: 1e-3, sequence: 32, precision: bf16}"]
    assert {run.seconds for run in compose_whole(workspace, path, changed).new} == {None}
    larger = compose_whole(workspace, path, ["base.sizes={l: {n_layer: 4, n_embd: 64, n_head: 2}}"])
    assert all(run.seconds is None for run in larger.new if run.kind in ("pretrain", "adapt"))
    assert larger.seconds is None
    assert any("are like none that finished here" in line for line in details(larger, calibrated=False))


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ("{gpus_per_run: 1}", "1 GPU; this machine has none; the queue will hold them"),
        ("{nodes: 2}", "2 machines; the queue will hold them"),
        ("{processes: 3}", "3 processes at a time; this machine has slots for 2; the queue will hold them"),
    ],
)
def test_what_the_machine_lacks_is_told_before_it_is_queued(empty, tmp_path, monkeypatch, resources, wanted) -> None:
    monkeypatch.setenv("ODYSSEY_SLOTS", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(composition, "machine", composition.machine.__wrapped__)
    path = write_experiment(tmp_path)
    assert not any("the queue will hold" in caution for caution in compose_whole(empty, path, ()).cautions)
    (caution,) = (c for c in compose_whole(empty, path, [f"resources={resources}"]).cautions if "will hold" in c)
    assert caution.endswith(f"runs want {wanted}")


def test_the_nearest_size_counts_within_a_factor_of_three(empty, tmp_path) -> None:
    found = compose_whole(empty, write_experiment(tmp_path), ())
    run = next(run for run in found.plan.runs if run.job.kind == "adapt")
    n_params = found.plan.work[run.run_id].n_params
    near, far = speed(n_params=2 * n_params), speed(n_params=n_params // 2 - 1, seconds=1000.0)
    assert Pace((near, far)).seconds(run, found.plan, gpu=False) == pytest.approx(run.cost_flops * 10.0 / 1e9)
    for other in speed(n_params=4 * n_params), replace(near, device="cuda:0"), replace(near, method="lora"):
        assert Pace((other,)).seconds(run, found.plan, gpu=False) is None


def test_a_calibration_times_what_is_new(tiny, monkeypatch) -> None:
    workspace, path = tiny
    monkeypatch.setattr(timing, "CALIBRATION_S", 0.01)
    found = compose_whole(workspace, path, ["base.sizes={l: {n_layer: 2, n_embd: 32, n_head: 2}}", "seeds=[0, 1]"])
    runs = [run for run in found.plan.runs if run.job.kind in ("pretrain", "adapt")]
    assert len(distinct_cases(found.plan, runs)) == 2  # seeds and budgets are no new cases
    calibrated = describe(workspace, found.plan, calibrate(found.plan, runs, threads=1))
    timed = {run.kind: run.seconds for run in calibrated.new}
    assert all(timed[kind] > 0 for kind in ("pretrain", "adapt", "evaluate"))


def test_a_calibration_that_fails_says_why(tiny, monkeypatch) -> None:
    workspace, path = tiny
    plan = compose_whole(workspace, path, ()).plan
    dying = "import sys; sys.exit('Traceback\\nImportError: no flash_attn here')"
    start = subprocess.Popen
    monkeypatch.setattr(
        timing.subprocess, "Popen", lambda _, **options: start([sys.executable, "-c", dying], **options)
    )
    with pytest.raises(DataError, match="the calibration failed: ImportError: no flash_attn here"):
        calibrate(plan, plan.runs, threads=1)


def test_a_disk_that_is_short_is_said_and_one_too_small_refused(empty, tmp_path, monkeypatch) -> None:
    path = write_experiment(tmp_path)
    roomy = compose_whole(empty, path, ())
    states = sum(run.estimate.disk.states for run in roomy.runs)
    assert 0 < states < roomy.disk_bytes
    assert not [caution for caution in roomy.cautions if caution.startswith("disk")]
    monkeypatch.setattr("store.space.look_at", lambda folder: Room("disk", folder, states + 1))
    short = compose_whole(empty, path, ())
    assert any(caution.startswith("disk: about") for caution in short.cautions)
    short.require_disk()
    monkeypatch.setattr("store.space.look_at", lambda folder: Room("disk", folder, states - 1))
    with pytest.raises(WorkspaceError, match="the disk cannot hold this"):
        launch(empty, compose_whole(empty, path, ()))
    assert empty.run_ids() == []


def test_disk_of_states_is_what_is_kept(tiny) -> None:
    workspace, path = tiny
    for run in compose_whole(workspace, path, ()).runs:
        folder = workspace.run(run.run_id).path / "checkpoints"
        kept = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert run.estimate.disk.states == pytest.approx(kept, rel=0.25)


def test_sharing_is_told_in_words(empty, tmp_path) -> None:
    path = write_experiment(tmp_path)
    found = compose_whole(empty, path, ["adapt.0.atpp=[1, 2, 3, 4]", "adapt.0.replay_ratio=[0, 0.5]"])
    assert sharing_text(found).startswith("trajectories save ")
    assert sharing_text(found).endswith("1 zero-shot evaluation is used 2 times")
    apart = compose_whole(empty, path, ["adapt.0.share=false", "adapt.0.atpp=[1]"])
    assert sharing_text(apart) == ""


def test_a_block_of_separate_runs_and_rates_by_method(empty, tmp_path) -> None:
    path = write_experiment(tmp_path)
    path.write_text(
        path.read_text().replace("atpp: [0.5, 1]}", "atpp: [0.5, 1], share: false, lr: {full: [1e-3, 2e-3]}}")
    )
    whole = {run.run_id for run in compose_whole(empty, path, ()).runs}
    found = compose(empty, replace(open_start(None, str(path)), block=0))
    assert {run.run_id for run in found.runs} == whole
    assert sum(run.kind == "adapt" for run in found.runs) == 4


def test_rows_leave_empty_what_is_not_known(empty, tmp_path) -> None:
    rows = [table_row(run) for run in compose_whole(empty, write_experiment(tmp_path), ()).runs]
    assert {column.key for column in COLUMNS} == set(rows[0])
    prepare = rows[0]
    assert (prepare["tokens"], prepare["memory_bytes"], prepare["seconds"]) == (None, None, None)
    assert all(row["memory_bytes"] > 4e8 for row in rows[1:])


def test_the_mixture_of_a_plan_is_that_of_its_run(tiny) -> None:
    workspace, path = tiny
    changes = ["adapt.0.replay_ratio=0.3", "adapt.0.atpp=[1, 2]"]
    planned = compose_whole(workspace, path, changes)
    (run,) = planned.new
    execute(workspace, [spec for spec in planned.plan.runs if spec.run_id == run.run_id])
    events, _ = read_events(workspace.run(run.run_id).latest_attempt().events)
    told = [event for event in events if event["event"] == "mixture"][-1]
    assert (run.mixture.sequences, run.mixture.realised) == (told["sequences"], told["replay_realised"])
    assert run.mixture.realised != 0.3, "whole sequences do not make exactly three tenths"
    assert run.mixture.epochs == {"poems": told["target_epochs"], "base": told["replay_epochs"]}
    lines = list(mixture_lines(planned))
    assert lines[0].startswith(f"replay in whole sequences: 0.3 as {run.mixture.realised:.4f}")
    assert lines[1].startswith("epochs at most: poems ")
    (caution,) = caution_repeated({"base": 4.0, "poems": 4.1, "law": 9.0})
    assert caution.startswith("more than 4 epochs of poems, law:")
    assert list(caution_repeated({"base": 4.0})) == []


def test_epochs_are_unknown_before_texts_are_prepared(empty, tmp_path) -> None:
    found = compose_whole(empty, write_experiment(tmp_path), ())
    assert all(set(run.mixture.epochs.values()) == {None} for run in found.runs if run.mixture)
    assert "epochs: not known before the texts are prepared: base, poems" in list(mixture_lines(found))
