"""How far everything queued is: one cheap look at files, no database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.format import STATE_GLYPHS

if TYPE_CHECKING:
    from store.workspace import Workspace

ACTIVE = frozenset({"queued", "starting", "running", "stopping"})


@dataclass(frozen=True)
class Pulse:
    """The workspace at one moment.

    ``counts`` pairs states with numbers of runs (states without runs left out), ``share`` is the part of the work that is
    done (0..1), ``news`` changes whenever there is something new to show.
    """

    counts: tuple[tuple[str, int], ...]
    active: bool
    share: float
    eta_s: float | None
    label: str
    news: tuple[object, ...]


def read_pulse(workspace: Workspace) -> Pulse:
    """Look at the run directories. Raises WorkspaceError when the workspace has vanished."""
    from store.ingest import has_news

    states = [workspace.run(run_id).state() for run_id in workspace.run_ids()]
    found = Counter(state.state for state in states)
    counts = tuple((name, found[name]) for name in STATE_GLYPHS if found[name])
    done = sum(1.0 if state.state == "done" else _share(state.done, state.total) for state in states)
    running = [state for state in states if state.state == "running"]
    return Pulse(
        counts=counts,
        active=any(state.state in ACTIVE for state in states),
        share=done / len(states) if states else 0.0,
        eta_s=None,
        label=running[0].phase if running else "",
        news=(counts, has_news(workspace)),
    )


def _share(done: float | None, total: float | None) -> float:
    return min(1.0, (done or 0.0) / total) if total else 0.0
