"""Runs of several processes: what passes between those processes and whoever started them, and how to start them."""

from __future__ import annotations

from pathlib import Path

from engine.spec.run import RunSpec
from store.files import read_json, write_json
from store.run_dir import AttemptDir
from store.workspace import Workspace

FAILED = 3
"""Exit status of a process whose failure the journal knows, or is about to."""
SUPERVISED = "ODYSSEY_SUPERVISED"
"""Set by a worker: it alone asks for a stop, so SIGTERM only comes when another process has died."""


def ask_to_stop(attempt: AttemptDir, reason: str) -> None:
    """Have the processes of an attempt stop at their next safe point."""
    write_json(_stop_file(attempt), {"reason": reason})


def stop_asked(attempt: AttemptDir) -> str | None:
    """Why the processes of an attempt should stop; None while they may go on."""
    path = _stop_file(attempt)
    return str(read_json(path)["reason"]) if path.exists() else None


def leave_failure(attempt: AttemptDir, failed: dict[str, str]) -> None:
    """Hand the fields of a ``failed`` event to whoever writes the journal; the first process to fail is heard."""
    path = _failure_file(attempt)
    if not path.exists():
        write_json(path, failed)


def failure_left(attempt: AttemptDir) -> dict[str, str] | None:
    """What ``leave_failure`` left, if a process failed."""
    path = _failure_file(attempt)
    return read_json(path) if path.exists() else None


def command(spec: RunSpec, workspace: Workspace, attempt: int) -> str:
    """What to start, the same on each machine; HOST is one of them."""
    wanted = spec.resources
    several = f"--nnodes {wanted.nodes} --rdzv-id {spec.run_id} --rdzv-backend c10d --rdzv-endpoint HOST:PORT"
    where = several if wanted.nodes > 1 else "--standalone"
    return (
        f"torchrun {where} --nproc-per-node {wanted.ranks_per_node} "
        f"-m engine.rank {workspace.root} {spec.run_id} {attempt}"
    )


def _stop_file(attempt: AttemptDir) -> Path:
    return attempt.path / "stop.json"


def _failure_file(attempt: AttemptDir) -> Path:
    return attempt.path / "failure.json"
