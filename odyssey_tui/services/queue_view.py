"""The queue as people see it: what runs, what waits and for what, what ended badly; files only, no database."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from odyssey_tui.services.format import duration
from odyssey_tui.services.progress import Pulse, PulseReader
from odyssey_tui.services.states import StateReader

if TYPE_CHECKING:
    from engine.launch.status import Status
    from engine.launch.tickets import Ticket
    from store.run_state import RunState
    from store.workspace import Workspace

ACTIVE = frozenset({"starting", "running", "stopping"})
BAD = frozenset({"failed", "lost"})
RECENT_S = 86_400.0
"""What ended badly is shown for so long, unless it is queued again before."""
COMMAND = "a command"
CLUSTER = "slurm "
"""How the place of a run begins that a cluster executes."""


@dataclass(frozen=True)
class QueueEntry:
    """A run that is not finished, or one that ended badly."""

    run_id: str
    name: str
    state: str
    share: float | None
    eta_s: float | None
    reason: str
    """What it waits for, why it stops, why it is queued again, or how it ended."""
    experiment: str = ""
    attempt: int = 0
    """The attempt that runs or ran last; of one that waits the attempt to come."""
    slot: str = ""
    """Where it runs: a slot, with its host unless that is this one, ``a command`` that executes it itself, or a Slurm
    job and its nodes."""
    held_on_request: bool = False
    level: float = 0.0
    """The priority that it was launched with: low -1, normal 0, high 1."""
    hint: str = ""


@dataclass(frozen=True)
class QueueLine:
    """The unfinished runs, and what ended badly."""

    entries: tuple[QueueEntry, ...]
    """What runs, then what waits in the order in which it will start, then what is held."""
    paused_experiments: Mapping[str, str] = field(default_factory=dict)
    """Why each of them is paused."""
    bad: tuple[QueueEntry, ...] = ()
    """Runs that failed or got lost within a day and were not queued again, the newest first."""
    silence: str = ""
    """Why the cluster that executes runs does not answer; empty while it does."""

    @property
    def by_commands(self) -> tuple[QueueEntry, ...]:
        """Runs that commands execute themselves, without the queue."""
        return tuple(entry for entry in self.entries if entry.slot.startswith(COMMAND))


@dataclass(frozen=True)
class QueueView(QueueLine):
    """The runs and the state of the queue."""

    pulse: Pulse = field(kw_only=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the list should know besides it."""
        pulse, notes = self.pulse, []
        if pulse.active and len(self.entries) > len(self.by_commands):
            left = f", {duration(pulse.eta_s)} left in all" if pulse.eta_s is not None else ""
            notes.append(f"{pulse.share:.0%} done{left}")
        if pulse.paused:
            notes.append(f"paused: {pulse.paused} ('odyssey resume' goes on)")
        for name, reason in self.paused_experiments.items():
            notes.append(f"{name} is paused: {reason} ('odyssey resume --experiment {name}' goes on)")
        if self.silence:
            notes.append(f"Slurm does not answer, runs go on meanwhile: {self.silence}")
        if commands := self.by_commands:
            notes.append(f"executed by a command, not by the queue: {', '.join(entry.name for entry in commands)}")
        if len(self.entries) > len(self.by_commands) and not pulse.works:
            notes.append("no scheduler runs: 'odyssey resume' starts one")
        if pulse.elsewhere:
            notes.append(f"the scheduler works on {pulse.elsewhere}; what is asked for here it does there")
        return tuple(notes)


def read_queue(workspace: Workspace, states: StateReader | None = None) -> QueueView:
    """Look at the queue now. ``states`` may remember an earlier look."""
    states = states or StateReader(workspace)
    look = _Look(workspace, states)
    pulse = PulseReader(workspace, states).read(look.found)
    return QueueView(look.entries(), look.paused, look.bad(), look.silence, pulse=pulse)


def read_line(workspace: Workspace, states: StateReader) -> QueueLine:
    """The runs alone, for who knows the state of the queue."""
    look = _Look(workspace, states)
    return QueueLine(look.entries(), look.paused, look.bad(), look.silence)


class _Look:
    """One look at everything; entries refer to each other's states."""

    def __init__(self, workspace: Workspace, states: StateReader) -> None:
        from engine.launch.claims import list_claimed
        from engine.launch.pauses import read_paused_experiments
        from engine.launch.requests import list_cancelling, list_retrying
        from engine.launch.status import read_status

        self._workspace = workspace
        self._states = states
        self._cancelling, self._retrying = list_cancelling(workspace), list_retrying(workspace)
        self._claimed = list_claimed(workspace)
        self._tickets: Mapping[str, Ticket] = states.tickets()
        self.found: Mapping[str, RunState] = states.read()
        self.paused = {name: pause.reason for name, pause in read_paused_experiments(workspace).items()}
        status = read_status(workspace)
        self._places = _places(status)
        self.silence = status.silence if status is not None else ""

    def entries(self) -> tuple[QueueEntry, ...]:
        """Unfinished runs, in order."""
        unfinished = [run_id for run_id, state in self.found.items() if not state.finished]
        line = {run_id: place for place, run_id in enumerate(self._line(unfinished))}
        keeping = self._keeping(self.paused)
        entries = [self._entry(run_id, keeping) for run_id in unfinished]
        rank = {"queued": 1, "held": 2}
        entries.sort(key=lambda e: (rank.get(e.state, 0), line.get(e.run_id, len(line)), e.slot, e.run_id))
        return tuple(entries)

    def bad(self) -> tuple[QueueEntry, ...]:
        """Runs that ended badly lately."""
        since = time.time() - RECENT_S
        ended = [
            (state.ended, run_id)
            for run_id, state in self.found.items()
            if state.state in BAD and run_id not in self._retrying and (state.ended or 0.0) > since
        ]
        return tuple(self._entry(run_id, {}) for _, run_id in sorted(ended, reverse=True))

    def _line(self, unfinished: Sequence[str]) -> list[str]:
        """Runs of the queue as they will start; ``needs`` come before what needs them."""
        from engine.launch.line import line_up

        orders = {run_id: self._tickets[run_id].order for run_id in unfinished if run_id in self._tickets}
        return line_up(orders, {run_id: self._states.needs(run_id) for run_id in orders})

    def _keeping(self, paused: Mapping[str, str]) -> dict[str, str]:
        """Runs kept back by paused experiments, and by which."""
        if not paused:
            return {}
        from engine.launch.experiments import Wanting

        wanting = Wanting(self._workspace)
        found = {run_id: self._states.experiment(run_id) for run_id in self._tickets}
        return {
            run_id: name for run_id, name in found.items() if name in paused and wanting.names(run_id) <= paused.keys()
        }

    def _entry(self, run_id: str, keeping: Mapping[str, str]) -> QueueEntry:
        state, ticket = self.found[run_id], self._tickets.get(run_id)
        held = ticket is not None and ticket.held
        shown = "held" if held and state.state == "queued" else state.state
        waits = shown in ("queued", "held")
        return QueueEntry(
            run_id=run_id,
            name=self._states.name(run_id),
            state=shown,
            share=min(1.0, state.done / state.total) if state.total else None,
            eta_s=state.eta_s,
            reason=self._reason(run_id, state, held, keeping),
            experiment=self._states.experiment(run_id),
            attempt=state.attempt + 1 if waits else state.attempt,
            slot=self._place(run_id, state),
            held_on_request=held,
            level=ticket.level if ticket is not None else 0.0,
            hint=state.hint,
        )

    def _reason(self, run_id: str, state: RunState, held: bool, keeping: Mapping[str, str]) -> str:
        from engine.launch.mailbox import HELD_ON_REQUEST

        if run_id in self._cancelling and not state.finished:
            return "asked to be cancelled"
        if held and state.state not in ACTIVE:
            return HELD_ON_REQUEST
        if state.state == "held":
            return self._with_names(run_id, state.reason)
        if state.state != "queued":
            return state.reason
        if run_id in keeping:
            return f"{keeping[run_id]} is paused"
        if run_id not in self._tickets and run_id not in self._claimed:
            return "it is not in the queue: launch its experiment again"
        return self._wait(run_id) or state.reason

    def _with_names(self, run_id: str, reason: str) -> str:
        """A sentence about what a run needs, with names in the place of identifiers, as in the list's other rows."""
        for need in self._states.needs(run_id):
            reason = reason.replace(need, self._states.name(need))
        return reason

    def _wait(self, run_id: str) -> str:
        """Which run it waits for and how far that is; empty where it waits for a slot."""
        unmet = [need for need in self._states.needs(run_id) if not self._is_done(need)]
        if not unmet:
            return ""
        # The one that is farthest on is the one to watch.
        shares = {need: self._share(need) for need in unmet}
        nearest = max(unmet, key=lambda need: shares[need] or 0.0)
        far = f" ({shares[nearest]:.0%})".replace("%", " %") if shares[nearest] else ""
        more = f" and {len(unmet) - 1} more" if len(unmet) > 1 else ""
        return f"needs {self._states.name(nearest)}{far}{more}"

    def _is_done(self, run_id: str) -> bool:
        state = self.found.get(run_id)
        return state is not None and state.state == "done"

    def _share(self, run_id: str) -> float | None:
        state = self.found.get(run_id)
        return min(1.0, state.done / state.total) if state is not None and state.total else None

    def _place(self, run_id: str, state: RunState) -> str:
        if run_id in self._claimed:
            return f"{COMMAND} on {state.host}" if state.host not in (None, platform.node()) else COMMAND
        if state.state not in ACTIVE:
            return ""
        place = self._places.get(run_id, "")
        if place.startswith(CLUSTER):
            return place
        return f"{place} on {state.host}".strip() if state.host not in (None, platform.node()) else place


def _places(status: Status | None) -> dict[str, str]:
    """Slots by the run on them, by the scheduler's last account."""
    found: dict[str, str] = {}
    for slot in status.slots if status is not None else ():
        if slot.run_id:
            found[slot.run_id] = f"{found[slot.run_id]}+{slot.name}" if slot.run_id in found else slot.name
    return found
