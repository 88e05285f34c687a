"""Batches: runs handed to Slurm together, as one job array. ``WORKSPACE/slurm/BATCH`` holds all that is known of one.

``runs.json`` says which run is at which place and ``job.sh`` is what each executes, both written before Slurm is asked;
``job.json`` follows with its answer. A batch without it may be there or not: the queue is asked for its name.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from engine.spec.strict import content_key
from store.files import read_json, write_atomic, write_json
from store.workspace import Workspace


@dataclass(frozen=True)
class Batch:
    """The folder of one batch."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def script(self) -> Path:
        return self.path / "job.sh"

    def output(self, index: int) -> Path:
        """What the job at a place says besides its run: before that begins, and when it cannot."""
        return self.path / f"{index}.log"

    def output_pattern(self) -> str:
        """``output`` as sbatch takes it."""
        return f"{str(self.path).replace('%', '%%')}/%a.log"

    def runs(self) -> tuple[str, ...]:
        """Runs by place."""
        return tuple(read_json(self.path / "runs.json")["runs"])

    def number(self) -> str | None:
        """The job's number in Slurm; None while it is not known to be there."""
        try:
            return str(read_json(self.path / "job.json")["job"])
        except FileNotFoundError:
            return None

    def set_number(self, number: str) -> None:
        write_json(self.path / "job.json", {"job": number})

    def withdraw(self, index: int) -> None:
        """Remember that the run at a place is wanted no more, also for a job that Slurm could not be told to end."""
        (self.path / f"{index}.cancelled").touch()

    def withdrawn(self, index: int) -> bool:
        return (self.path / f"{index}.cancelled").exists()


def new_batch(workspace: Workspace, runs: tuple[str, ...]) -> Batch:
    """A folder for a batch of these runs."""
    batch = Batch(_folder(workspace) / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    write_json(batch.path / "runs.json", {"runs": list(runs)})
    return batch


def find_batch(workspace: Workspace, name: str) -> Batch:
    """The batch of this name, whether it exists or not."""
    return Batch(_folder(workspace) / name)


def write_batch_script(batch: Batch, text: str) -> None:
    write_atomic(batch.script, text)


def job_name(workspace: Workspace) -> str:
    """The name of all jobs of a workspace, by which they are asked for: of its place, which a copy does not share."""
    return f"odyssey-{content_key([os.path.realpath(workspace.root)], 8)}"


def _folder(workspace: Workspace) -> Path:
    return workspace.root / "slurm"
