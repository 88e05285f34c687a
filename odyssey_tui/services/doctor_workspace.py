"""Verdicts on a workspace: the folder, its settings, who works on it, the database, what a check finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey_tui.services.doctor import Verdict
from store.errors import ConfigError, OdysseyError

if TYPE_CHECKING:
    from store.workspace import Workspace

MOST_TOLD = 3
"""Names in one sentence."""
ACTIVE = ("starting", "running", "stopping")


def examine_workspace(root: Path) -> Iterator[Verdict]:
    """All there is to say of the workspace at ``root``; that there is none yet is no fault."""
    from store.workspace import Workspace

    root = root.expanduser().absolute()
    if not root.exists() or _is_empty(root):
        what, fix = f"there is none at {root} yet", "`odyssey demo` or `odyssey launch` makes one; -w names another."
        yield Verdict("workspace", "folder", "info", what, fix)
        return
    try:
        workspace = Workspace.open(root)
    except OdysseyError as error:
        check = "settings" if isinstance(error, ConfigError) else "folder"
        yield Verdict("workspace", check, "problem", error.message, error.hint)
        return
    yield _judge_folder(workspace)
    yield from _judge_queue(workspace)
    yield from _judge_database(workspace)


def _is_empty(root: Path) -> bool:
    """A folder in which a workspace can be made."""
    try:
        return root.is_dir() and not any(root.iterdir())
    except OSError:
        return False


def _judge_folder(workspace: Workspace) -> Verdict:
    runs = len(workspace.run_ids())
    try:
        workspace.require_writable()
    except OdysseyError as error:
        return Verdict("workspace", "folder", "warning", f"{error.message}: it can be looked at only", error.hint)
    return Verdict("workspace", "folder", "ok", f"{workspace.root}: {runs} runs")


def _judge_queue(workspace: Workspace) -> Iterator[Verdict]:
    """Whether somebody works on what waits, and whether what is called running runs."""
    from engine.launch.login import warn_of_logout
    from engine.launch.queue_state import queue_state
    from engine.launch.status import read_status

    queue = queue_state(workspace)
    waiting = len(queue.queued)
    if queue.scheduler_alive:
        where = f"on {queue.scheduler_host}" if queue.scheduler_host else f"process {queue.scheduler_pid}"
        status = read_status(workspace)
        if status is not None and status.silence:
            yield Verdict("workspace", "scheduler", "warning", status.silence, "Runs there go on; it is asked again.")
        else:
            yield Verdict("workspace", "scheduler", "ok", f"works ({where}); {waiting} runs wait")
        logout = warn_of_logout(queue.scheduler_pid) if queue.scheduler_pid is not None else ""
        if logout:
            yield Verdict("workspace", "logout", "warning", logout, "loginctl enable-linger")
    elif waiting or queue.held:
        what = f"none works, and {waiting + len(queue.held)} runs wait"
        yield Verdict("workspace", "scheduler", "warning", what, "`odyssey resume` starts one.")
    else:
        yield Verdict("workspace", "scheduler", "ok", "none works, and nothing waits")
    if queue.paused is not None:
        fix = "`odyssey resume` lets it go on."
        yield Verdict("workspace", "queue", "info", f"paused: {queue.paused}", fix)
    stale = [] if queue.scheduler_alive else _find_stale(workspace)
    if stale:
        shown = ", ".join(stale[:MOST_TOLD]) + (f" and {len(stale) - MOST_TOLD} more" if stale[MOST_TOLD:] else "")
        fix = "`odyssey resume` has them go on from their last checkpoints."
        yield Verdict("workspace", "runs", "warning", f"called running, and their processes are gone: {shown}", fix)


def _find_stale(workspace: Workspace) -> list[str]:
    from odyssey_tui.services.states import StateReader
    from odyssey_tui.services.upkeep import is_executed

    states = StateReader(workspace).read()  # of runs that have ended no journal, however many there are
    return [run for run, state in states.items() if state.state in ACTIVE and not is_executed(workspace, run)]


def _judge_database(workspace: Workspace) -> Iterator[Verdict]:
    """Who has it, whether it is of this version, and all of `odyssey store check`."""
    from odyssey_tui.services.upkeep import check_workspace
    from store.cautions import list_cautions
    from store.database import IN_USE, look_at
    from store.schema import newest_version

    try:
        version, holder = look_at(workspace)
    except OdysseyError as error:
        yield Verdict("workspace", "database", "problem", error.message, error.hint)
        return
    for caution in list_cautions(workspace):
        yield Verdict("workspace", "caution", "warning", caution)
    if holder:
        yield Verdict("workspace", "database", "warning", f"in use by {holder}; not looked into", IN_USE)
        return
    newest = newest_version()
    if 0 < version < newest:
        what = f"schema version {version}, and this odyssey uses {newest}: not looked into"
        fix = "Any command, like `odyssey runs`, upgrades it; a copy of the old one is kept."
        yield Verdict("workspace", "database", "info", what, fix)
        return
    faults = [row for row in check_workspace(workspace) if row.severity != "ok"]
    for row in faults:
        severity = row.severity if row.severity in ("problem", "warning") else "info"
        yield Verdict("workspace", row.check, severity, row.what, row.hint)
    if all(row.severity == "info" for row in faults):
        size = workspace.database_path.stat().st_size / 1e6
        yield Verdict("workspace", "database", "ok", f"schema version {newest}, {size:.1f} MB, passes every check")
