"""One contender: a grid executed whole, run after run, by one worker: ``python -m bench.sweeping.grid EXPERIMENT``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import leave_result
from engine.launch.foreground import Foreground
from engine.plan.estimate import describe_sharing
from engine.plan.expand import expand
from engine.plan.known import look_up
from engine.spec.load import load_experiment
from store.journal import read_events
from store.workspace import Workspace

COMMON = "prepare"
"""Reads and tokenises the texts: the same for every contender, and not counted."""


def main() -> None:
    workspace = Workspace.create(Path.cwd() / "workspace")
    experiment = load_experiment(sys.argv[1])
    plan = expand(experiment, look_up(experiment, workspace))
    with Foreground(workspace, plan.runs) as foreground:
        failed = foreground.work(lambda moment: None)
    if failed is not None:
        sys.exit(f"a run ended {failed.state}: {failed.reason}")
    counted = [run for run in plan.runs if run.job.kind != COMMON]
    events = {run.run_id: _events(workspace, run.run_id) for run in counted}
    leave_result(
        {
            "runs": len(counted),
            "tokens": describe_sharing(plan, counted).trained_tokens,
            "busy_s": sum(event["seconds"] for found in events.values() for event in found if event["event"] == "done"),
            "losses": dict(_losses(found for found in events.values())),
        }
    )


def _events(workspace: Workspace, run_id: str) -> list[dict[str, Any]]:
    return [event for attempt in workspace.run(run_id).attempts() for event in read_events(attempt.events)[0]]


def _losses(journals: Iterator[list[dict[str, Any]]]) -> Iterator[tuple[str, float]]:
    """Mean loss by cell and role; a cell is PTPP, ρ and ATPP, whatever the run that reached it."""
    states: dict[str, str] = {}
    evaluations: list[dict[str, Any]] = []
    for event in (event for journal in journals for event in journal):
        if event["event"] == "model" and event.get("atpp"):
            ptpp = event["parent"].rpartition("@")[2]
            states[event["model_id"]] = f"{ptpp} ρ{event['replay_ratio']:g} atpp{event['atpp']:g}"
        elif event["event"] == "evaluation":
            evaluations.append(event)
    for event in evaluations:
        if event["model_id"] in states:
            yield f"{states[event['model_id']]} {event['role']}", event["sum_loss"] / event["predicted"]


if __name__ == "__main__":
    main()
