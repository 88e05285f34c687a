"""What the commands print on a workspace with results."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from odyssey_tui.cli.main import COMMANDS, LazyGroup, odyssey, run
from odyssey_tui.services.launch import compose
from odyssey_tui.services.starts import open_start
from store.workspace import Workspace


def call(capsys, workspace: Workspace, *arguments: str) -> tuple[str, str]:
    """Standard output and error of a command that succeeds."""
    status = run(["-w", str(workspace.root), *arguments])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out, err


def test_every_listed_command_exists() -> None:
    assert isinstance(odyssey, LazyGroup)
    for name in COMMANDS:
        command = odyssey.get_command(None, name)
        assert command is not None
        assert command.help, name


def test_runs_filters_and_fits_80_columns(voyage, capsys) -> None:
    out, _ = call(capsys, voyage, "runs", "-f", "domain=docs and replay>=0.25 and state=done")
    lines = out.splitlines()
    assert len(lines) == 1 + 8
    assert max(map(len, lines)) <= 80
    assert all("docs" in line and ("0.25" in line or "0.5" in line) for line in lines[1:])


def test_runs_json_has_every_field(voyage, capsys) -> None:
    found = json.loads(call(capsys, voyage, "runs", "--json", "-f", "state=failed")[0])
    assert len(found) == 1
    assert found[0]["reason"] == "the loss became NaN at step 6"
    assert {"run", "experiment", "kind", "lr", "ppl", "tags", "delta_base"} <= found[0].keys()


def test_runs_are_in_plan_order(voyage, capsys) -> None:
    found = json.loads(call(capsys, voyage, "runs", "--json")[0])
    assert [row["kind"] for row in found[:3]] == ["prepare", "pretrain", "pretrain"]


def test_show_tells_before_and_after(voyage, capsys) -> None:
    out, _ = call(capsys, voyage, "show", "adapt-docs-r0-p5-s")
    assert "✓ done" in out
    assert "PPL before" in out
    assert "job.replay_ratio: 0.0" in out
    asked = "SELECT max(target_epochs) AS epochs FROM mixtures WHERE run_id LIKE 'adapt-docs-r0-p5-s-%'"
    (row,) = json.loads(call(capsys, voyage, "sql", asked, "--json")[0])
    assert f"epochs read: {row['epochs']:.3g} of the domain\n" in out
    found = json.loads(call(capsys, voyage, "show", "adapt-docs-r0-p5-s", "--json")[0])
    line = next(line for line in found["evaluations"] if line["state"] == "atpp4" and line["role"] == "target")
    assert abs(line["loss"] - line["before"] - line["delta"]) < 1e-9


def test_show_a_failed_run_gives_reason_and_hint(voyage, capsys) -> None:
    out, _ = call(capsys, voyage, "show", "adapt-headers-r0-p5-xs")
    assert "✗ failed" in out
    assert "the loss became NaN at step 6" in out


def test_queue_lists_what_is_not_finished(voyage, capsys) -> None:
    out, err = call(capsys, voyage, "queue")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["running", "queued"]
    assert "no scheduler runs" in err
    view = json.loads(call(capsys, voyage, "queue", "--json")[0])
    assert view["scheduler"] is False
    assert [row["state"] for row in view["runs"]] == ["running", "queued"]


def test_ready_experiments_are_listed(empty: Workspace, capsys) -> None:
    lines = call(capsys, empty, "launch", "--list")[0].splitlines()
    assert max(map(len, lines)) <= 80
    assert "m2d2-newlines       2 x 2: newlines in training, in scored text" in lines
    found = json.loads(call(capsys, empty, "launch", "--list", "--json")[0])
    assert [row["name"] for row in found] == sorted(row["name"] for row in found)
    assert all(row["about"] for row in found)
    assert run(["-w", str(empty.root), "launch"]) == 2
    assert "launch --list" in capsys.readouterr().err


def test_a_ready_experiment_plans_without_network_or_cache(empty: Workspace, capsys, monkeypatch, tmp_path) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    out, err = call(capsys, empty, "launch", "m2d2-20-gpt2", "--dry-run", "--json")
    found = json.loads(out)
    assert (found["new"], found["tokens"], found["flops"]) == (63, 20 * 19_534 * 1024, 0)
    assert any("the size of gpt2 is not known" in caution for caution in found["cautions"])
    out, err = call(capsys, empty, "launch", "m2d2-lora-13b", "--dry-run")
    assert "sbatch --time=8:00:00 --mem=320G --nodes=1" in err
    assert max(map(len, (out + err).splitlines())) <= 80


def test_launch_dry_run_changes_nothing(tmp_path: Path, capsys) -> None:
    root = tmp_path / "none"
    status = run(["launch", "demo", "--dry-run", "--json", "-w", str(root), "--set", "adapt.0.replay_ratio=[0,0.5]"])
    plan = json.loads(capsys.readouterr().out)
    assert status == 0
    assert not root.exists()
    assert plan["queued"] is False
    assert plan["new"] == len(plan["runs"]) > 20
    assert plan["flops"] == sum(row["flops"] for row in plan["runs"]) > 0


def test_a_block_is_planned_by_itself_and_written_into_a_file(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    changes = [
        "--set",
        "adapt.0.replay_ratio=[0.3]",
        "--set",
        "adapt.0.size=s",
        "--set",
        "adapt.3={domain: docs, atpp: 1}",
    ]
    asked = ["launch", "demo", *changes, "--block", "0", "--dry-run", "--json", "-w", "none"]
    assert run(asked) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [row["name"] for row in found if row["kind"] == "adapt"] == [f"adapt-tests-r0.3-p{p}-s" for p in (8, 16, 64)]
    assert all(row["mixture"]["realised"] == pytest.approx(0.3, abs=1e-3) for row in found if row["kind"] == "adapt")
    assert run(["launch", "demo", *changes, "--save", "mine.yaml", "-w", "none"]) == 0
    assert capsys.readouterr() == ("", "wrote mine.yaml\n")
    assert run(["launch", "mine.yaml", "--block", "0", "--dry-run", "--json", "-w", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == found
    assert run(["launch", "demo", "--save", "mine.yaml", "-w", "none"]) == 2
    assert "mine.yaml: is there already" in capsys.readouterr().err
    assert run(["launch", "demo", "--block", "9", "--dry-run", "-w", "none"]) == 2
    assert "Blocks are numbered 0 to 2." in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_what_the_form_says_the_command_does(empty: Workspace, capsys) -> None:
    """Keys of every kind, added, changed and taken away; from a ready experiment and from a past run."""
    draft = replace(open_start(empty, "demo"), block=2)
    draft = draft.set(("adapt", 2, "method"), ["full", "lora"]).set(("adapt", 2, "newlines"), ["keep", "strip"])
    draft = draft.set(("adapt_training", "masks", 0, "classes"), ["newline"]).set(("evaluate", "max_bytes"), "20kB")
    draft = (
        draft.unset(("evaluate", "max_tokens")).unset(("adapt", 1)).set(("corpora", "cs.CL"), {"source": "m2d2:cs.CL"})
    )
    draft = replace(draft, block=1).set(("adapt", 1, "variant"), "masked")
    for block in (None, 1):
        planned = compose(empty, replace(draft, block=block))
        words = shlex.split(replace(draft, block=block).command())
        found = json.loads(call(capsys, empty, *words[1:], "--dry-run", "--json")[0])
        assert [row["run"] for row in found["runs"]] == [planned_run.run_id for planned_run in planned.runs]
    assert sum(planned_run.kind == "adapt" for planned_run in planned.runs) == 4


def test_a_refused_experiment_makes_no_workspace(tmp_path: Path, capsys) -> None:
    root = tmp_path / "none"
    assert run(["launch", "demo", "-w", str(root), "--set", "adapt.0.replay_ratio=1.5"]) == 2
    assert "replay_ratio is 1.5" in capsys.readouterr().err
    assert not root.exists()


def test_logs_print_the_console(own_voyage: Workspace, capsys) -> None:
    run_id = next(name for name in own_voyage.run_ids() if name.startswith("adapt-docs-r0-p5-s-"))
    own_voyage.run(run_id).latest_attempt().console.write_text("hello\nworld\n")
    assert call(capsys, own_voyage, "logs", run_id)[0] == "hello\nworld\n"
