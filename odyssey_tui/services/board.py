"""What the Queue screen shows: the queue, the slots and GPUs with what they do, who works on it."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import duration, state_text
from odyssey_tui.services.queue_view import QueueEntry, QueueLine, read_line
from odyssey_tui.services.states import StateReader
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from engine.launch.queue_state import SlotState
    from odyssey_tui.services.gpus import GpuRow
    from store.workspace import Workspace

FIELDS: Mapping[str, type] = {
    "run": str,
    "name": str,
    "experiment": str,
    "state": str,
    "slot": str,
    "reason": str,
    "progress": float,
    "attempt": float,
}
"""What a filter of the queue may name, and as what its values are compared."""

COLUMNS = (
    Column("state", "state", state_text),
    Column("name", "run"),
    Column("experiment", "sweep", drop=4),
    Column("attempt", "attempt", lambda attempt: str(attempt) if attempt > 1 else "", drop=3),
    Column("slot", "on", drop=2),
    Column("share", "done", ".0%"),
    Column("eta_s", "left", duration),
    Column("reason", "why", drop=1),
)
"""Of the queue as a table."""
DRIVER_S = 2.0
"""Asking the driver of eight GPUs takes tenths of a second: not after every key."""


@dataclass(frozen=True)
class SlotLine:
    """A slot and what runs on it; ``run_id`` and ``name`` are empty while it is idle."""

    slot: str
    gpu: str | None
    run_id: str = ""
    name: str = ""
    share: float | None = None
    eta_s: float | None = None
    phase: str = ""
    busy: str = ""
    """Who else uses its GPU, in words; nothing is started on it meanwhile."""


@dataclass(frozen=True)
class Board:
    """Everything on the Queue screen at one moment."""

    queue: QueueLine
    slots: tuple[SlotLine, ...]
    gpus: tuple[GpuRow, ...]
    scheduler: str
    """Who works on the queue, in words; empty when nobody does."""
    works: bool
    """Whether a scheduler is alive."""
    paused: str
    """Why the queue is paused; empty when it is not."""

    @property
    def listed(self) -> tuple[QueueEntry, ...]:
        """What runs, what waits, what is held, then what ended badly lately."""
        return self.queue.entries + self.queue.bad


class BoardReader:
    """Reads boards of one workspace; remembers what rests, so that a look at thousands of runs costs little."""

    def __init__(self, workspace: Workspace, states: StateReader) -> None:
        self._workspace = workspace
        self._states = states
        self._gpus: tuple[GpuRow, ...] = ()
        self._asked_driver: float | None = None

    def read(self) -> Board:
        """Look at the files and ask the driver; no database."""
        from engine.launch.queue_state import queue_state

        state = queue_state(self._workspace, self._states.state)
        scheduler = ""
        if state.scheduler_host:
            scheduler = f"the scheduler works on {state.scheduler_host}; what is asked for here it does there"
        elif state.scheduler_alive:
            scheduler = f"scheduler {state.scheduler_pid} on {platform.node()}"
        return Board(
            queue=read_line(self._workspace, self._states),
            slots=tuple(self._line(slot) for slot in state.slots),
            gpus=self._read_gpus(),
            scheduler=scheduler,
            works=state.scheduler_alive,
            paused=state.paused or "",
        )

    def _read_gpus(self) -> tuple[GpuRow, ...]:
        from odyssey_tui.services.gpus import read_gpu_rows

        now = time.monotonic()
        if self._asked_driver is None or now - self._asked_driver >= DRIVER_S:
            self._gpus, self._asked_driver = read_gpu_rows(self._workspace), now
        return self._gpus

    def _line(self, slot: SlotState) -> SlotLine:
        run = slot.run
        if not slot.run_id or run is None:
            return SlotLine(slot.name, slot.gpu, busy=slot.busy)
        return SlotLine(
            slot=slot.name,
            gpu=slot.gpu,
            run_id=slot.run_id,
            name=self._states.name(slot.run_id),
            share=min(1.0, run.done / run.total) if run.total else None,
            eta_s=run.eta_s,
            phase=run.phase or run.state,
            busy=slot.busy,
        )


def board_record(board: Board, entries: Sequence[QueueEntry]) -> dict[str, Any]:
    """The board with these runs as plain values."""
    return {
        "scheduler": board.works,
        "paused": board.paused,
        "paused_experiments": dict(board.queue.paused_experiments),
        "slots": [asdict(slot) for slot in board.slots],
        "runs": [asdict(entry) for entry in entries],
    }


def record(entry: QueueEntry) -> dict[str, Any]:
    """An entry under the names of FIELDS."""
    return {
        "run": entry.run_id,
        "name": entry.name,
        "experiment": entry.experiment,
        "state": entry.state,
        "slot": entry.slot,
        "reason": entry.reason,
        "progress": entry.share,
        "attempt": entry.attempt,
    }
