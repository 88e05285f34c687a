"""How far everything queued is: one cheap look at files, no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.format import STATE_GLYPHS
from odyssey_tui.services.states import StateReader

if TYPE_CHECKING:
    from store.run_state import RunState
    from store.workspace import Workspace

ACTIVE = frozenset({"queued", "starting", "running", "stopping"})


@dataclass(frozen=True)
class Trouble:
    """Something to be told once; ``key`` tells it from the same thing happening again."""

    key: str
    text: str


@dataclass(frozen=True)
class Pulse:
    """The workspace at one moment.

    ``counts`` pairs states with numbers of runs (no zeros), ``share`` is the part of the queued experiments' work that
    is done (0..1), ``label`` says what runs, ``news`` changes whenever there is something new to show.
    """

    counts: tuple[tuple[str, int], ...]
    active: bool
    paused: str
    """Why the queue is paused; empty when it is not."""
    works: bool
    """Whether a scheduler is alive."""
    share: float
    eta_s: float | None
    label: str
    news: tuple[object, ...]
    elsewhere: str = ""
    """The machine on which the scheduler works; empty for this one."""
    troubles: tuple[Trouble, ...] = ()
    """What has gone wrong and still is: runs that failed or got lost, pauses that nobody asked for."""
    endings: tuple[str, ...] = ()
    """Experiments of which something ran or waited at the look before, and nothing does now; a sentence each."""
    logout: str = ""
    """What becomes of the scheduler when its user logs out; empty where it goes on."""


class PulseReader:
    """Reads pulses of one workspace; remembers how far each journal was read, so that a look costs little."""

    def __init__(self, workspace: Workspace, states: StateReader | None = None) -> None:
        self._workspace = workspace
        self._states = states or StateReader(workspace)
        self._moving: frozenset[str] = frozenset()
        self._warned: tuple[int | None, str] = None, ""

    def read(self, states: Mapping[str, RunState] | None = None) -> Pulse:
        """Look at the run directories, unless ``states`` says what is in them now, and at the scheduler's account.

        WorkspaceError when the workspace has vanished.
        """
        from engine.launch.queue_state import queue_state
        from store.survey import describe_news
        from store.workspace import Workspace

        workspace = Workspace.open(self._workspace.root)
        states = self._states.read() if states is None else states
        found = Counter(state.state for state in states.values())
        counts = tuple((name, found[name]) for name in STATE_GLYPHS if found[name])
        active = any(state.state in ACTIVE for state in states.values())
        queue = queue_state(workspace, self._states.state)
        database = workspace.database_path
        return Pulse(
            counts=counts,
            active=active,
            paused=queue.paused or "",
            works=queue.scheduler_alive,
            elsewhere=queue.scheduler_host,
            share=queue.share,
            eta_s=queue.eta_s if active else None,
            label=self._label(states),
            troubles=(*self._pauses(queue.paused), *self._failures(states)),
            endings=tuple(self._endings(states)),
            logout=self._logout(queue.scheduler_pid),
            news=(counts, database.stat().st_mtime_ns if database.exists() else 0, describe_news(workspace)),
        )

    def _endings(self, states: dict[str, RunState]) -> Iterator[str]:
        """Told in one look only: what ended before this reader's first is history."""
        moving = {self._states.experiment(run_id) for run_id, state in states.items() if state.state in ACTIVE}
        before, self._moving = self._moving, frozenset(moving)
        for name in sorted(before - moving):
            found = Counter(state.state for run_id, state in states.items() if self._states.experiment(run_id) == name)
            counts = ", ".join(f"{found[state]} {state}" for state in STATE_GLYPHS if found[state])
            yield f"{name} has ended: {counts}"

    def _logout(self, pid: int | None) -> str:
        from engine.launch.login import warn_of_logout

        if pid != self._warned[0]:
            self._warned = pid, warn_of_logout(pid) if pid is not None else ""
        return self._warned[1]

    def _failures(self, states: dict[str, RunState]) -> Iterator[Trouble]:
        for run_id, state in states.items():
            if state.state in ("failed", "lost"):
                name = self._states.name(run_id)
                text = f"{name} {'failed' if state.state == 'failed' else 'is lost'}: {state.reason}"
                yield Trouble(f"{run_id}/{state.attempt}", text)

    def _pauses(self, reason: str | None) -> Iterator[Trouble]:
        from engine.launch.pauses import ASKED_FOR, read_paused_experiments

        if reason not in (None, ASKED_FOR):
            yield Trouble(f"queue: {reason}", f"the queue is paused: {reason}")
        for name, pause in read_paused_experiments(self._workspace).items():
            if pause.reason != ASKED_FOR:
                yield Trouble(f"{name}: {pause.since}", f"{name} is paused: {pause.reason}")

    def _label(self, states: dict[str, RunState]) -> str:
        """What runs: the first by name, with its phase."""
        for run_id, state in states.items():
            if state.state == "running":
                name = self._states.name(run_id)
                return f"{name}: {state.phase}" if state.phase else name
        return ""
