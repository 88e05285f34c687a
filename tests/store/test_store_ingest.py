"""Ingest: everything once, whatever is interrupted, and bad input holds nothing else up."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from store import ingest as ingest_module
from store import survey
from store.database import lease
from store.ingest import IngestReport, batches, commit, finish, has_news, ingest
from store.journal import Journal
from store.run_dir import AttemptDir, RunDir, create_run
from store.shards import write_shard
from store.survey import look_at
from store.workspace import Workspace
from tests.support.privileges import folder_with_rights
from tests.support.synthetic import write_finished_runs


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws")


def start_run(workspace: Workspace, run_id: str = "a") -> tuple[RunDir, AttemptDir, Journal]:
    run = create_run(workspace, {"run_id": run_id, "labels": {"domain": "docs"}, "job": {"kind": "adapt"}})
    control = Journal(run.control)
    control.append("queued")
    control.append("assigned", attempt=1, worker="w")
    control.close()
    attempt = run.new_attempt()
    events = Journal(attempt.events)
    events.append("starting", host="h", pid=1)
    events.append("running", total=10, unit="tokens")
    return run, attempt, events


def losses(evaluation_id: str = "e", value: float = 1.0) -> pa.Table:
    return pa.table({"evaluation_id": [evaluation_id], "block": [0], "losses": [[None, value]]})


def query(workspace: Workspace, text: str) -> list[tuple[Any, ...]]:
    with lease(workspace) as con:
        return con.execute(text).fetchall()


def test_a_second_ingest_adds_nothing(workspace: Workspace) -> None:
    _, attempt, events = start_run(workspace)
    events.append("metric", step=1, tokens=5, branch="trunk", values={"loss": 3.0, "lr": 0.1})
    write_shard(attempt.spool, "token_losses", losses())
    assert has_news(workspace)
    report = ingest(workspace)
    assert (report.runs, report.events, report.shards, report.rows, report.warnings) == (1, 5, 1, 1, [])
    assert not has_news(workspace)
    assert ingest(workspace) == IngestReport()
    survey_file = workspace.database_path.with_name("odyssey.duckdb.seen")
    survey_file.unlink()
    report = ingest(workspace)
    assert (report.events, report.shards) == (0, 0)
    assert query(workspace, "SELECT name, value FROM metrics ORDER BY name") == [("loss", 3.0), ("lr", 0.1)]
    assert query(workspace, "SELECT state, train_loss, tokens FROM runs") == [("running", 3.0, 5)]
    assert query(workspace, "SELECT losses FROM token_losses") == [([None, 1.0],)]
    assert not list(attempt.spool.glob("*.parquet"))


def test_a_torn_tail_waits_for_its_newline(workspace: Workspace) -> None:
    _, attempt, _ = start_run(workspace)
    with attempt.events.open("a") as file:
        file.write('{"seq": 2, "t": 3.0, "event": "metric", "step": 1, "values": {"lo')
    ingest(workspace)
    assert query(workspace, "SELECT count(*) FROM metrics") == [(0,)]
    assert not has_news(workspace)
    with attempt.events.open("a") as file:
        file.write('ss": 2.5}}\n')
    assert has_news(workspace)
    assert ingest(workspace).warnings == []
    assert query(workspace, "SELECT value FROM metrics") == [(2.5,)]


def test_a_kill_between_commit_and_delete_loses_and_doubles_nothing(workspace: Workspace) -> None:
    run, attempt, _ = start_run(workspace)
    write_shard(attempt.spool, "token_losses", losses())
    with lease(workspace, write=True) as con:
        for batch in batches([look_at(run)]):
            commit(con, workspace, batch, IngestReport())
    assert len(list(attempt.spool.glob("*.parquet"))) == 1
    report = ingest(workspace)
    assert (report.events, report.shards) == (0, 0)
    assert query(workspace, "SELECT count(*) FROM token_losses") == [(1,)]
    assert not list(attempt.spool.glob("*.parquet"))


@pytest.mark.parametrize("phase", ["finish", "commit"])
def test_a_process_that_dies_inside_ingest_can_be_followed_by_another(workspace: Workspace, phase: str) -> None:
    _, attempt, _ = start_run(workspace)
    write_shard(attempt.spool, "token_losses", losses())
    code = (
        "import os, sys\nfrom store import ingest, ingest_shards\nfrom store.workspace import Workspace\n"
        "def die(*arguments): os._exit(9)\n"
        + {"finish": "ingest.finish = die\n", "commit": "ingest_shards.bring_in = die\n"}[phase]
        + "ingest.ingest(Workspace.open(sys.argv[1]))\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(workspace.root)], capture_output=True, text=True)
    assert died.returncode == 9, died.stderr
    assert has_news(workspace)
    ingest(workspace)
    assert query(workspace, "SELECT count(*) FROM token_losses") == [(1,)]
    assert query(workspace, "SELECT state FROM runs") == [("running",)]
    assert query(workspace, "SELECT row_count, status FROM ingested_shards") == [(1, "ingested")]
    assert not list(attempt.spool.glob("*.parquet"))


def test_an_error_within_a_batch_rolls_all_of_it_back(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    _, attempt, _ = start_run(workspace)
    write_shard(attempt.spool, "token_losses", losses())

    def fail(*arguments: object) -> None:
        raise RuntimeError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(ingest_module.ingest_shards, "bring_in", fail)
        with pytest.raises(RuntimeError):
            ingest(workspace)
    assert query(workspace, "SELECT count(*) FROM runs") == [(0,)]
    assert ingest(workspace).events == 4


def test_a_damaged_shard_is_set_aside_and_the_rest_goes_on(workspace: Workspace) -> None:
    _, attempt, events = start_run(workspace)
    good = write_shard(attempt.spool, "token_losses", losses())
    bad = write_shard(attempt.spool, "token_losses", losses("f"))
    content = (attempt.spool / bad).read_bytes()
    (attempt.spool / bad).write_bytes(content[:100])
    report = ingest(workspace)
    assert report.quarantined == 1
    assert bad in report.warnings[0]
    assert good not in report.warnings[0]
    assert (attempt.quarantine / bad).exists()
    assert query(workspace, "SELECT evaluation_id FROM token_losses") == [("e",)]
    ((file, message),) = query(workspace, "SELECT file, message FROM warnings")
    assert file == f"runs/a/attempts/1/spool/{bad}"
    assert "set aside" in message
    events.append("done", seconds=1)
    assert ingest(workspace).warnings == []
    assert query(workspace, "SELECT closed FROM runs") == [(True,)]


def test_malformed_lines_and_wrong_fields_are_warnings_that_name_the_file(workspace: Workspace) -> None:
    _, attempt, events = start_run(workspace)
    with attempt.events.open("a") as file:
        file.write("garbage\n[1, 2]\n\n")
    events.append("model", model_id="m", n_params="many")
    events.append("model", n_params=3)
    events.append("metric", step=1, tokens=1, values={"loss": "low"})
    events.append("evaluation", evaluation_id="e", model_id="m", eval_set_id="s", sum_loss=float("nan"), predicted=1)
    events.append("metric", step=2, tokens=2, values={"loss": float("inf")})
    events.append("fit", fit_id="f", form="dcpt", role="target", params={"E": float("nan"), "A": 1}, scores={})
    report = ingest(workspace)
    assert len(report.warnings) == 5
    assert all(warning.startswith("runs/a/attempts/1/events.jsonl: ") for warning in report.warnings)
    assert "n_params" in report.warnings[2]
    assert query(workspace, "SELECT count(*) FROM warnings") == [(5,)]
    assert query(workspace, "SELECT count(*) FROM models") == [(0,)]
    assert query(workspace, "SELECT step, value FROM metrics") == [(2, float("inf"))]
    assert query(workspace, "SELECT params::VARCHAR FROM fits") == [('{"E": null, "A": 1}',)]


def test_an_unreadable_specification_does_not_hold_others_up(workspace: Workspace) -> None:
    start_run(workspace, "a")
    run, _, _ = start_run(workspace, "b")
    run.spec_path.write_text("{")
    report = ingest(workspace)
    assert len(report.warnings) == 1
    assert "runs/b/spec.json" in report.warnings[0]
    assert query(workspace, "SELECT run_id, state FROM runs ORDER BY run_id") == [("a", "running"), ("b", "running")]


def test_folders_that_are_no_runs_are_passed_over(workspace: Workspace) -> None:
    (workspace.runs / "lost+found").mkdir()
    start_run(workspace)
    assert ingest(workspace).runs == 1
    assert not has_news(workspace)


def test_later_events_complete_a_row_and_nulls_take_nothing_away(workspace: Workspace) -> None:
    _, _, events = start_run(workspace)
    events.append("model", model_id="m", n_params=3, ptpp=5.0)
    ingest(workspace)
    events.append("model", model_id="m", n_params=None, tokens_seen=15)
    events.append("model", model_id="m", ptpp=6.0)
    ingest(workspace)
    assert query(workspace, "SELECT n_params, ptpp, tokens_seen FROM models") == [(3, 6.0, 15)]


def test_the_newest_computation_of_an_evaluation_replaces_the_older_whole(workspace: Workspace) -> None:
    _, attempt, _ = start_run(workspace, "a")
    two_blocks = pa.table({"evaluation_id": ["e", "e"], "block": [0, 1], "losses": [[1.0], [1.0]]})
    write_shard(attempt.spool, "token_losses", two_blocks)
    ingest(workspace)
    _, other, _ = start_run(workspace, "b")
    for block in (0, 1):
        part = pa.table({"evaluation_id": ["e"], "block": [block], "losses": [[2.0]]})
        write_shard(other.spool, "token_losses", part)
    ingest(workspace)
    assert query(workspace, "SELECT block, losses FROM token_losses ORDER BY block") == [(0, [2.0]), (1, [2.0])]


def test_sets_named_by_content_are_stored_once(workspace: Workspace) -> None:
    vocabulary = pa.table(
        {"tokenizer_id": ["t"] * 2, "token_id": [0, 1], "text": ["a", "b"], "token_class": ["word"] * 2}
    )
    for run_id in ("a", "b"):
        _, attempt, _ = start_run(workspace, run_id)
        write_shard(attempt.spool, "vocabulary", vocabulary)
    ingest(workspace)
    assert query(workspace, "SELECT count(*) FROM vocabulary") == [(2,)]


def test_finished_runs_are_not_looked_at_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    write_finished_runs(workspace, 50)
    _, _, events = start_run(workspace, "alive")
    assert ingest(workspace).runs == 51
    looked_at: list[str] = []
    true_look = survey.look_at

    def look(run: RunDir) -> survey.RunFiles:
        looked_at.append(run.run_id)
        return true_look(run)

    monkeypatch.setattr(survey, "look_at", look)
    monkeypatch.setattr(ingest_module, "look_at", look)
    assert not has_news(workspace)
    events.append("heartbeat")
    assert has_news(workspace)
    ingest(workspace)
    assert set(looked_at) == {"alive"}


def test_a_retried_run_is_opened_again(workspace: Workspace) -> None:
    run, _, events = start_run(workspace)
    events.append("failed", reason="loss is NaN")
    ingest(workspace)
    assert query(workspace, "SELECT state, closed FROM runs") == [("failed", True)]
    ticket = workspace.tickets / "a.json"
    ticket.write_text("{}")
    Journal(run.control).append("retried", attempt=2)
    assert has_news(workspace)
    ingest(workspace)
    assert query(workspace, "SELECT state FROM runs") == [("queued",)]
    assert not has_news(workspace)
    second = Journal(run.new_attempt().events)
    second.append("starting")
    second.append("done", seconds=1)
    ticket.unlink()
    ingest(workspace)
    assert query(workspace, "SELECT state, attempt, closed FROM runs") == [("done", 2, True)]
    assert not has_news(workspace)


def test_an_attempt_that_came_and_went_between_two_ingests_is_seen(workspace: Workspace) -> None:
    run, _, events = start_run(workspace)
    events.append("failed", reason="loss is NaN")
    ingest(workspace)
    Journal(run.control).append("retried", attempt=2)
    second = Journal(run.new_attempt().events)
    second.append("done", seconds=1)
    assert has_news(workspace)
    ingest(workspace)
    assert query(workspace, "SELECT state, closed FROM runs") == [("done", True)]
    assert not os.listdir(workspace.reopened)


def test_a_lost_run_stays_open_for_a_worker_that_comes_back(workspace: Workspace) -> None:
    run, _, events = start_run(workspace)
    Journal(run.control).append("lost", attempt=1, reason="out of sight")
    ingest(workspace)
    assert query(workspace, "SELECT state, closed FROM runs") == [("lost", False)]
    events.append("done", seconds=1)
    ingest(workspace)
    assert query(workspace, "SELECT state FROM runs") == [("done",)]


def test_a_journal_that_was_replaced_is_read_again_from_its_start(workspace: Workspace) -> None:
    _, attempt, events = start_run(workspace)
    for step in range(5):
        events.append("metric", step=step, tokens=step, values={"loss": 1.0})
    ingest(workspace)
    lines = attempt.events.read_text().splitlines(keepends=True)
    attempt.events.write_text("".join(lines[:4]))
    assert "shorter" in ingest(workspace).warnings[0]
    assert query(workspace, "SELECT count(*) FROM metrics") == [(5,)]


def test_a_replaced_database_is_filled_again(workspace: Workspace) -> None:
    _, _, events = start_run(workspace)
    ingest(workspace)
    workspace.database_path.unlink()
    assert has_news(workspace)
    assert ingest(workspace).events == 4
    assert query(workspace, "SELECT state FROM runs") == [("running",)]
    events.close()


def test_large_backlogs_are_committed_in_parts(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    write_finished_runs(workspace, 10)
    monkeypatch.setattr(ingest_module, "_BATCH_BYTES", 1)
    assert len(list(batches(look_at(workspace.run(run_id)) for run_id in workspace.run_ids()))) == 10
    assert ingest(workspace).runs == 10
    assert query(workspace, "SELECT count(*) FROM runs WHERE closed") == [(10,)]


def test_finishing_twice_is_harmless(workspace: Workspace) -> None:
    run, attempt, _ = start_run(workspace)
    write_shard(attempt.spool, "token_losses", losses())
    with lease(workspace, write=True) as con:
        taken = commit(con, workspace, [look_at(run)], IngestReport())
    finish(taken)
    finish(taken)
    assert not list(attempt.spool.glob("*.parquet"))


def test_how_runs_ended_is_known_without_their_journals(workspace: Workspace) -> None:
    for run_id, last in (("a", "done"), ("b", "failed"), ("c", "heartbeat")):
        start_run(workspace, run_id)[2].append(last)
    assert survey.ended_runs(workspace) == {}
    ingest(workspace)
    assert survey.ended_runs(workspace) == {"a": "done", "b": "failed"}
    (workspace.tickets / "b.json").write_text("{}")
    assert survey.ended_runs(workspace) == {"a": "done"}
    workspace.run("a").new_attempt()
    assert survey.ended_runs(workspace) == {}
    (workspace.tickets / "b.json").unlink()
    shutil.copy(workspace.database_path, workspace.root / "other")
    (workspace.root / "other").replace(workspace.database_path)
    assert survey.ended_runs(workspace) == {}


def test_names_of_runs_are_listed_again_when_one_comes_or_goes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_run(workspace, "a")
    os.utime(workspace.runs, ns=(1, 1))  # long ago
    listed: list[Path] = []
    true_list = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or true_list(folder))
    assert workspace.run_names() == workspace.run_names() == {"a"}
    assert len(listed) == 1
    start_run(workspace, "b")
    assert workspace.run_names() == {"a", "b"}
    shutil.rmtree(workspace.run("a").path)
    assert workspace.run_names() == {"b"}


@pytest.mark.parametrize("hidden", ["attempts/1/events.jsonl", "attempts/1/spool", "attempts", "control.jsonl"])
def test_an_ended_run_is_read_once_what_was_hidden_of_it_can_be(hidden: str) -> None:
    with folder_with_rights() as folder:
        workspace = Workspace.create(folder / "ws")
        run, attempt, events = start_run(workspace)
        events.append("metric", step=1, tokens=5, branch="trunk", values={"loss": 3.0})
        events.append("done", seconds=1)
        write_shard(attempt.spool, "token_losses", losses())
        # An earlier attempt that ended well is what makes the run finished whatever the hidden part says.
        second = Journal(run.new_attempt().events)
        second.append("starting")
        second.append("done", seconds=1)
        Journal(run.control).append("cancelled", reason="no longer wanted")
        rights = (run.path / hidden).stat().st_mode
        (run.path / hidden).chmod(0)
        ingest(workspace)
        assert query(workspace, "SELECT closed FROM runs") == [(False,)]
        assert survey.ended_runs(workspace) == {}
        assert not has_news(workspace), "what stays hidden is no news"
        (run.path / hidden).chmod(rights)
        assert has_news(workspace)
        assert ingest(workspace).warnings == []
        assert query(workspace, "SELECT value FROM metrics") == [(3.0,)]
        assert query(workspace, "SELECT losses FROM token_losses") == [([None, 1.0],)]
        assert query(workspace, "SELECT state, attempt, closed FROM runs") == [("done", 2, True)]
        assert not has_news(workspace)


def test_a_journal_that_fails_within_is_read_once_it_is_whole(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, attempt, events = start_run(workspace)
    events.append("done", seconds=1)
    true_open = open

    def open_broken(path: Any, *arguments: Any, **options: Any) -> Any:
        if path == attempt.events:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return true_open(path, *arguments, **options)

    with monkeypatch.context() as broken:
        broken.setattr("builtins.open", open_broken)
        assert "Input/output error" in ingest(workspace).warnings[0]
        assert not has_news(workspace)
    assert has_news(workspace)
    ingest(workspace)
    assert query(workspace, "SELECT state, closed FROM runs") == [("done", True)]
