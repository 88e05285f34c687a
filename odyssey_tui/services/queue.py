"""Requests to the scheduler: which runs each can be made for, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.queue_view import QueueEntry, QueueView, read_queue
from store.errors import DataError, OdysseyError
from store.names import suggest

if TYPE_CHECKING:
    from odyssey_tui.services.states import StateReader
    from store.run_dir import RunDir
    from store.workspace import Workspace

__all__ = ["QueueEntry", "QueueView", "read_queue"]
CANCELLED = "cancelled on request"
"""Why a run stops that was cancelled, as its worker says."""
LIVE = frozenset({"starting", "running", "stopping"})
ENDED_EARLY = frozenset({"failed", "cancelled", "lost"})
ACTS_ON = {
    "cancel": LIVE | {"queued", "held"},
    "retry": ENDED_EARLY | {"held"},
    "pause": LIVE | {"queued", "held"},
    "resume": LIVE | {"queued", "held"},
    "move": frozenset({"queued", "held"}),
}
"""The states in which a run can be asked for each of these."""


def split_by_state(workspace: Workspace, action: str, run_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The runs that can be asked for ``action``, and a sentence for each of the others; each run once.

    Raises OdysseyError when there is none to ask.
    """
    from engine.launch.claims import list_claimed, settle_abandoned
    from engine.launch.requests import list_cancelling, list_holding

    settle_abandoned(workspace)
    claimed, cancelling = list_claimed(workspace), list_cancelling(workspace)
    holding = list_holding(workspace)
    able, others = [], []
    for run_id in dict.fromkeys(run_ids):
        state = workspace.run(run_id).state()
        held = run_id in holding or _is_held(workspace, run_id)
        ends = run_id in cancelling or (state.state == "stopping" and state.reason == CANCELLED)
        if workspace.run(run_id).is_imported():
            others.append(f"{run_id} was imported: nothing to {action}")
        elif action == "retry" and ends and not state.finished:
            able.append(run_id)
        elif action != "cancel" and run_id in claimed:
            others.append(f"{run_id} is executed by a command: cancel it, or stop that command with Ctrl-C")
        elif state.state not in ACTS_ON[action]:
            others.append(f"{run_id} is {state.state}: nothing to {action}")
        elif action == "retry" and held:
            others.append(f"{run_id} is held on request: `odyssey resume {run_id}` lets it go")
        elif action == "resume" and not held:
            why = f", but not on request ({state.reason})" if state.state == "held" else ""
            others.append(f"{run_id} is {state.state}{why}: nothing to resume")
        else:
            able.append(run_id)
    if not able:
        raise OdysseyError("; ".join(others), "`odyssey runs` shows what each run does.")
    return able, others


def has_ended(workspace: Workspace, run: RunDir) -> bool:
    """Whether a run has ended and nobody has asked for it to be retried since."""
    from engine.launch.requests import list_retrying
    from engine.launch.tickets import has_ticket

    if run.run_id in list_retrying(workspace):
        return False
    state = run.state()
    # A run that is lost may be queued again in the same breath: it has ended once it is out of the queue.
    return state.finished and not (state.state == "lost" and has_ticket(workspace, run.run_id))


def cancel_runs(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask for runs to be cancelled; a scheduler is started if none runs."""
    from engine.launch.requests import cancel

    _ask(workspace, lambda: cancel(workspace, run_ids))


def retry_runs(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask for failed, cancelled or lost runs to be queued again."""
    from engine.launch.requests import retry

    _ask(workspace, lambda: retry(workspace, run_ids))


def hold_runs(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask for runs to be kept back; one that runs saves, stops at its next safe point and is kept back then."""
    from engine.launch.requests import hold

    _ask(workspace, lambda: hold(workspace, run_ids))


def release_runs(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask for held runs to wait for their turn again."""
    from engine.launch.requests import release

    _ask(workspace, lambda: release(workspace, run_ids))


def move_runs(workspace: Workspace, run_ids: Sequence[str], where: str) -> None:
    """Ask for another place: ``up`` or ``down`` by one, to the ``top`` or the ``bottom``. Needs still come first."""
    from engine.launch.requests import move

    _ask(workspace, lambda: move(workspace, run_ids, where))


def pause_queue(workspace: Workspace) -> None:
    """Start no further runs."""
    pause_experiments(workspace, ())


def resume_queue(workspace: Workspace) -> None:
    """Start queued runs again."""
    resume_experiments(workspace, ())


def pause_experiments(workspace: Workspace, names: Sequence[str]) -> None:
    """Start no further run of these experiments; of all without a name."""
    from engine.launch.requests import pause

    _ask(workspace, lambda: pause(workspace, names))


def resume_experiments(workspace: Workspace, names: Sequence[str]) -> None:
    """Start runs of these experiments again."""
    from engine.launch.requests import resume

    _ask(workspace, lambda: resume(workspace, names))


def _ask(workspace: Workspace, write: Callable[[], None]) -> None:
    from engine.launch.scheduler import ensure_running

    write()
    ensure_running(workspace)


def _is_held(workspace: Workspace, run_id: str) -> bool:
    """Whether a person holds the run."""
    from engine.launch.tickets import has_ticket, read_ticket

    try:
        return has_ticket(workspace, run_id) and read_ticket(workspace, run_id).held
    except (DataError, FileNotFoundError):
        return False  # damaged, which the scheduler says, or the run has just ended


@dataclass(frozen=True)
class Sweep:
    """The runs of experiments that can be asked for something, and what is left alone."""

    run_ids: tuple[str, ...]
    live: tuple[str, ...]
    """Those of them that run now."""
    others: tuple[str, ...]
    """A sentence for each kind of run that is not affected."""


def find_sweep(workspace: Workspace, action: str, names: Sequence[str]) -> Sweep:
    """The runs of experiments for ``action``; those that another unfinished experiment wants too are not cancelled.

    Raises OdysseyError when there is no such experiment, or nothing to ask for.
    """
    from odyssey_tui.services.states import StateReader

    check_experiments(workspace, names)
    states = StateReader(workspace)
    found = {run_id: state.state for run_id, state in states.read().items()}
    wanting = experiments_of(workspace, states)
    own = [run_id for run_id in found if wanting[run_id] & set(names)]
    fitting = [run_id for run_id in own if found[run_id] in ACTS_ON[action] and not workspace.run(run_id).is_imported()]
    shared: dict[str, str] = {}
    if action == "cancel":
        living = {
            name
            for run_id in found
            if found[run_id] in ACTS_ON["cancel"]
            for name in wanting[run_id]
            if not wanting[run_id] & set(names)
        }
        for run_id in fitting:
            if keeping := sorted((wanting[run_id] - set(names)) & living):
                shared[run_id] = keeping[0]
    chosen = [run_id for run_id in fitting if run_id not in shared]
    others = [
        f"{_count(run_id for run_id in shared if shared[run_id] == name)} left alone: {name} needs them too"
        for name in sorted(set(shared.values()))
    ]
    rest = [found[run_id] for run_id in own if run_id not in fitting]
    others += [f"{rest.count(state)} {state}: nothing to {action}" for state in sorted(set(rest))]
    if not chosen:
        raise OdysseyError(f"{', '.join(names)}: nothing to {action}", "; ".join(others) or "It has no runs here.")
    return Sweep(tuple(chosen), tuple(run_id for run_id in chosen if found[run_id] in LIVE), tuple(others))


def check_experiments(workspace: Workspace, names: Sequence[str]) -> None:
    """OdysseyError, with the nearest name, where an experiment has no runs here."""
    known = list_experiments(workspace)
    for name in names:
        if name not in known:
            hint = suggest(name, known, f"There are: {', '.join(known)}." if known else "None was launched yet.")
            raise OdysseyError(f"no experiment {name!r} in {workspace.root}", hint)


def list_experiments(workspace: Workspace) -> list[str]:
    """Names of the experiments that have runs here, sorted."""
    from odyssey_tui.services.states import StateReader

    found = experiments_of(workspace, StateReader(workspace))
    return sorted({name for names in found.values() for name in names} - {""})


def list_paused(workspace: Workspace) -> list[str]:
    """Names of the experiments that are paused."""
    from engine.launch.pauses import read_paused_experiments

    return sorted(read_paused_experiments(workspace))


def experiments_of(workspace: Workspace, states: StateReader) -> dict[str, frozenset[str]]:
    """The experiments that want each run: those launched with it, and the one that asked for it first."""
    from engine.launch.experiments import Wanting

    wanting = Wanting(workspace)
    return {run_id: wanting.names(run_id) | {states.experiment(run_id)} for run_id in workspace.run_ids()}


def _count(runs: Iterable[str]) -> str:
    number = sum(1 for _ in runs)
    return "1 run is" if number == 1 else f"{number} runs are"
