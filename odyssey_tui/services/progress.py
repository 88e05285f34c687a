"""How far everything queued is: one cheap look at files, no database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.format import STATE_GLYPHS

if TYPE_CHECKING:
    from store.run_dir import RunDir
    from store.run_state import RunState
    from store.workspace import Workspace

ACTIVE = frozenset({"queued", "starting", "running", "stopping"})


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


class PulseReader:
    """Reads pulses of one workspace; remembers how far each journal was read, so that a look costs little."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._runs: dict[str, RunDir] = {}

    def read(self) -> Pulse:
        """Look at the run directories and the scheduler's account. WorkspaceError when the workspace has vanished."""
        from engine.launch.queue_state import queue_state
        from store.ingest import has_news
        from store.workspace import Workspace

        workspace = Workspace.open(self._workspace.root)
        states = {run_id: self._run(run_id).state() for run_id in workspace.run_ids()}
        found = Counter(state.state for state in states.values())
        counts = tuple((name, found[name]) for name in STATE_GLYPHS if found[name])
        active = any(state.state in ACTIVE for state in states.values())
        queue = queue_state(workspace)
        database = workspace.database_path
        return Pulse(
            counts=counts,
            active=active,
            paused=queue.paused or "",
            works=queue.scheduler_alive,
            share=queue.share,
            eta_s=queue.eta_s if active else None,
            label=self._label(states),
            news=(counts, database.stat().st_mtime_ns if database.exists() else 0, has_news(workspace)),
        )

    def _run(self, run_id: str) -> RunDir:
        if run_id not in self._runs:
            self._runs[run_id] = self._workspace.run(run_id)
        return self._runs[run_id]

    def _label(self, states: dict[str, RunState]) -> str:
        """What runs: the first by name, with its phase."""
        for run_id, state in states.items():
            if state.state == "running":
                name = self._run(run_id).name()
                return f"{name}: {state.phase}" if state.phase else name
        return ""
