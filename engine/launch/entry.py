"""One queued run as the scheduler remembers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.launch.mailbox import UNFINISHED
from engine.launch.tickets import Ticket
from engine.launch.workers import Worker
from engine.spec.run import RunSpec
from store.journal import Journal, read_events
from store.run_dir import RunDir

if TYPE_CHECKING:
    from engine.launch.slurm.job import Job


@dataclass
class Entry:
    """A ticket with its run. ``worker``, or ``job``, is set from assignment until the run's end is known."""

    ticket: Ticket
    spec: RunSpec
    run: RunDir
    held: str = ""
    """Why it cannot start; empty while it may."""
    worker: Worker | None = field(default=None, repr=False)
    job: Job | None = field(default=None, repr=False)
    """Its job in a Slurm cluster, which may wait there."""
    refused: str = ""
    """Why the cluster does not take it, for now."""
    attempt: int = 0
    cancel_by: float | None = None
    """Monotonic time after which a cancelled run's worker is killed."""

    @property
    def run_id(self) -> str:
        return self.spec.run_id

    @property
    def threads(self) -> int:
        """CPU threads of all of its processes here."""
        return self.spec.resources.cpu_threads * self.spec.resources.ranks_per_node

    @property
    def elsewhere(self) -> bool:
        """Whether it runs on several machines, where a person has started it."""
        several = self.spec.resources.nodes > 1 and not self.on_cluster
        return several and self.run.state().state in ("starting", "running", "stopping")

    @property
    def cancelling(self) -> bool:
        """Whether its worker was asked to end it for good, by this scheduler or one before."""
        asked = self.worker.order.stop if self.worker is not None else None
        return self.cancel_by is not None or (asked is not None and asked not in UNFINISHED)

    @property
    def on_cluster(self) -> bool:
        """Whether a Slurm cluster is to execute it, rather than this machine."""
        return self.spec.resources.backend == "slurm"

    @property
    def placed(self) -> bool:
        """Whether it is out of the queue's hands."""
        return self.worker is not None or self.job is not None

    @property
    def waiting(self) -> str:
        """``held``, ``queued`` or ``assigned``."""
        if self.placed:
            return "assigned"
        return "held" if self.held else "queued"

    def say(self, event: str, **fields: Any) -> None:
        """Append to the run's control journal."""
        say(self.run, event, **fields)

    def count_losses(self) -> int:
        """How often the run was lost since a person last asked for it."""
        losses = 0
        for event in read_events(self.run.control)[0]:
            asked = event["event"] == "retried" and event.get("by") == "user"
            losses = 0 if asked else losses + (event["event"] == "lost")
        return losses


def say(run: RunDir, event: str, **fields: Any) -> None:
    """Append one event to a run's control journal; its one writer is the scheduler, or the command with its claim."""
    journal = Journal(run.control)
    try:
        journal.append(event, **fields)
    finally:
        journal.close()
