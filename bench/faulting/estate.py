"""A finished workspace with a file of every kind that a workspace can hold, to be damaged."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.launch.experiments import record_launch
from engine.launch.mailbox import Card, Mailbox, Order, Slot
from engine.launch.process import Identity
from engine.launch.status import SlotStatus, Status, write_status
from engine.plan.expand import expand
from engine.plan.known import look_up
from engine.spec.load import load_experiment
from store.files import write_json
from store.ingest import ingest
from store.notes import note, pin, tag
from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace
from tests.support.tiny import write_experiment

KINDS: dict[str, tuple[str, ...]] = {
    "journal": ("runs/*/attempts/*/events.jsonl", "runs/*/control.jsonl"),
    "shard": ("runs/*/attempts/*/spool/*.parquet",),
    "specification": ("runs/*/spec.json",),
    "database": (
        "odyssey.duckdb",
        "odyssey.duckdb.wal",
        "odyssey.duckdb.seen",
        "odyssey.duckdb.listed",
        "odyssey.duckdb.lease",
    ),
    "workspace": ("workspace.json", "settings.toml", "notes.jsonl"),
    "queue": ("queue/tickets/*", "queue/requests/*", "queue/claims/*", "queue/reopened/*", "queue/paused"),
    "scheduler": ("scheduler/scheduler.json", "workers/*/*.json"),
    "experiment": ("experiments/*",),
    "console": ("runs/*/attempts/*/console.log",),
}
"""Kinds of files, and where they lie."""


@dataclass(frozen=True)
class Estate:
    """A workspace and commands that read all of it."""

    root: Path
    commands: list[tuple[str, ...]]
    runs: tuple[str, ...]

    def files_of(self, kind: str) -> list[Path]:
        """Files of one kind, relative to the workspace."""
        found = [path for pattern in KINDS[kind] for path in self.root.glob(pattern) if path.is_file()]
        return sorted(path.relative_to(self.root) for path in found) or self.files_of("journal")

    def missing_runs(self, listed: str, victim: Path) -> list[str]:
        """Runs that are not in a list (JSON) although nothing of theirs was damaged."""
        ids = {row["run"] for row in json.loads(listed)}
        gone = [run for run in self.runs if run not in ids and run not in victim.parts]
        return [f"runs does not list {', '.join(gone[:3])}"] if gone else []


def build_estate(root: Path, *, ingested: bool) -> Estate:
    """Make it in ``root``; not ``ingested``, every journal and shard is still to be read."""
    shutil.rmtree(root, ignore_errors=True)
    workspace = synthetic_workspace(root, ingested=ingested)
    (root / "settings.toml").write_text('retries = 2\non_finish = ""\n')

    adapt = [run_id for run_id in workspace.run_ids() if run_id.startswith("adapt")]
    first, second = adapt[0], adapt[1]
    waiting = [run_id for run_id in workspace.run_ids() if (workspace.tickets / f"{run_id}.json").exists()]
    failed = [run_id for run_id in adapt if workspace.run(run_id).state().state == "failed"]
    tag(workspace, [first], "good")
    note(workspace, [first, second], "looks right")
    pin(workspace, [first])
    if ingested:
        ingest(workspace)
    _furnish_queue(workspace, waiting, failed)
    texts = root.with_name(f"{root.name}-texts")
    texts.mkdir(exist_ok=True)
    config = write_experiment(texts)
    experiment = load_experiment(str(config))
    plan = expand(experiment, look_up(experiment, workspace))
    document = record_launch(workspace, plan)
    commands: list[tuple[str, ...]] = [
        ("show", first),
        ("show", second, "--json"),
        ("logs", first),
        ("queue",),
        ("queue", "--json"),
        ("compare", first, second),
        ("similarity",),
        ("tokens", first),
        ("forecast",),
        ("sql", "SELECT count(*) AS runs FROM runs"),
        ("launch", "--dry-run", str(config)),
        ("launch", "--dry-run", f"{{root}}/experiments/{document.name}"),
        ("cancel", waiting[0]),
        ("cancel", waiting[-1]),
        ("retry", failed[0]),
        ("pause",),
        ("runs",),
        ("runs", "--filter", "state=done"),
    ]
    return Estate(root, commands, tuple(workspace.run_ids()))


def _furnish_queue(workspace: Workspace, waiting: list[str], failed: list[str]) -> None:
    """What a scheduler that was killed leaves behind, and requests that nobody took up."""
    write_json(workspace.queue / "paused", {"reason": "asked for", "since": 1.0})
    for number, (action, runs) in enumerate((("retry", failed), ("pause", []), ("cancel", waiting[:1]))):
        write_json(workspace.queue / "requests" / f"{number:020d}-00000000.json", {"action": action, "runs": runs})
    (workspace.queue / "claims").mkdir(exist_ok=True)
    (workspace.queue / "claims" / failed[0]).touch()
    (workspace.reopened / failed[0]).touch()
    gone = Identity(2**22 - 1, 1.0, "another boot", Identity.current().host)
    slots = (SlotStatus("cpu0", None, waiting[0], 1), SlotStatus("cpu1", None))
    write_status(workspace, Status(gone, slots, queued=tuple(waiting), total=len(waiting), share=0.5, eta_s=60.0))
    mailbox = Mailbox(workspace.workers / "cpu0-00000000")
    mailbox.write_slot(Slot("cpu0", None, 1))
    mailbox.write_order(Order(1, waiting[0], 1))
    mailbox.write_card(Card(gone, 0, True))
