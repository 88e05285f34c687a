"""A run's job in Slurm as the scheduler remembers it, and as the run's control journal tells it to the next one."""

from __future__ import annotations

from dataclasses import dataclass

from engine.launch.slurm.batches import Batch, find_batch
from engine.launch.slurm.client import Row
from engine.launch.slurm.states import ENDED, WAITING, explain_waiting
from store.journal import read_events
from store.run_dir import RunDir
from store.workspace import Workspace

_ENDS = frozenset({"queued", "held", "lost", "cancelled"})


@dataclass
class Job:
    """A place in a batch. ``row`` is what Slurm last said of it."""

    batch: Batch
    index: int
    before: int
    """Attempts that the run had when the job was handed in, or requeued: a later one is this job's."""
    row: Row | None = None
    assigned: int = 0
    """The attempt that was said to be assigned."""
    held: bool = False
    """Whether it was held in Slurm for the workspace's queue."""
    missed: float | None = None
    """Since when (monotonic) nothing is known of it any more, or it has ended without a word of the run."""
    size: int = 0
    """Bytes of the newest attempt's journal when it was last looked at."""

    @property
    def key(self) -> tuple[str, int]:
        """What a row of squeue says of it."""
        return self.batch.name, self.index

    @property
    def number(self) -> str | None:
        """``1234_5``; None while it is not known to be in Slurm."""
        if self.row is not None:
            return self.row.job
        array = self.batch.number()
        return f"{array}_{self.index}" if array else None

    @property
    def running(self) -> bool:
        """Whether Slurm has given it nodes."""
        return self.row is not None and self.row.state not in WAITING and self.row.state not in ENDED

    @property
    def standing(self) -> str:
        """Why it waits."""
        if self.held:
            return "held in Slurm while it is held, or paused, here"
        return explain_waiting(self.row.reason if self.row is not None else "") or "pending"

    def grows(self, run: RunDir) -> bool:
        """Whether the newest attempt's journal has grown since the last look."""
        newest = run.latest_attempt()
        before = self.size
        self.size = newest.events.stat().st_size if newest is not None and newest.events.exists() else 0
        return self.size > before

    @property
    def place(self) -> str:
        """``slurm 1234_5 on n2``, as far as it is known."""
        nodes = f" on {self.row.nodes}" if self.row is not None and self.row.nodes else ""
        return f"slurm {self.number or '(being submitted)'}{nodes}"


def last_attempt(run: RunDir) -> int:
    """The number of the newest attempt; 0 before the first."""
    return max((attempt.number for attempt in run.attempts()), default=0)


def remember(workspace: Workspace, run: RunDir) -> Job | None:
    """The job that has the run, according to its control journal; None when none has."""
    found: Job | None = None
    for event in read_events(run.control)[0]:
        name = event["event"]
        if name == "submitted":
            found = _read(workspace, event)
        elif name in _ENDS or (name == "retried" and event.get("by") != "slurm"):
            found = None
        elif name == "assigned" and found is not None:
            found.assigned = int(event.get("attempt") or 0)
    return found


def _read(workspace: Workspace, event: dict[str, object]) -> Job | None:
    match event:
        case {"batch": str(batch), "index": int(index), "attempt": int(attempt)}:
            return Job(find_batch(workspace, batch), index, attempt - 1, held=event.get("parked") is True)
    return None
