"""What keeps a workspace's data honest, for the command line: checks, and what only the engine knows is unused."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import WorkspaceError

if TYPE_CHECKING:
    from pathlib import Path

    from store.upkeep.rebuild import Rebuilt
    from store.upkeep.restore import Staged
    from store.workspace import Workspace


@dataclass(frozen=True)
class CheckRow:
    """One finding of a check, or a check that found nothing (``severity`` ok)."""

    check: str
    severity: str
    what: str = ""
    hint: str = ""


def check_workspace(workspace: Workspace, *, deep: bool = False) -> Iterator[CheckRow]:
    """The result of every check, as it becomes known."""
    from store.upkeep.check import run_checks

    for name, found in run_checks(workspace, deep=deep):
        if not found:
            yield CheckRow(name, "ok")
        for finding in found:
            yield CheckRow(name, finding.severity, finding.what, finding.hint)


def count_lost_losses(workspace: Workspace) -> int:
    """Evaluations of finished runs without the losses of single tokens that they should have."""
    from store.database import lease
    from store.upkeep.losses import count_without_losses

    with lease(workspace) as con:
        return count_without_losses(con)


def rebuild_database(workspace: Workspace, backups: Sequence[Path]) -> Rebuilt:
    """Make the database anew; ``backups`` are databases or files of `odyssey store backup`, asked in turn."""
    from contextlib import ExitStack

    from store.upkeep.archive import DATABASE, SUFFIX, check_database, read_manifest, unpack
    from store.upkeep.rebuild import rebuild
    from store.upkeep.swap import scratch_folder

    with ExitStack() as scratch:
        files = []
        for backup in backups:
            if not backup.name.endswith(SUFFIX):
                files.append(backup)
                continue
            manifest = read_manifest(backup)
            folder = scratch.enter_context(scratch_folder(workspace))
            unpack(backup, folder, lambda name: name == DATABASE)
            check_database(folder / DATABASE, manifest)
            # Under its own name: that is what is said of it.
            files.append((folder / DATABASE).rename(folder / backup.name))
        return rebuild(workspace, files)


@contextmanager
def prepared_restoration(workspace: Workspace, backup: Path) -> Iterator[Staged]:
    """A backup unpacked and verified, and what it would change. WorkspaceError while anything works here."""
    from store.upkeep.restore import staged_backup

    _require_idle(workspace)
    with staged_backup(workspace, backup) as staged:
        yield staged


def restore_backup(workspace: Workspace, staged: Staged) -> Path | None:
    """Put a prepared backup in place, then read what the files say beyond it; returns where the old database went."""
    from store.ingest import ingest
    from store.upkeep.restore import restore

    _require_idle(workspace)
    kept = restore(workspace, staged)
    ingest(workspace)
    return kept


def _require_idle(workspace: Workspace) -> None:
    from engine.launch.claims import list_claimed
    from engine.launch.status import read_status, scheduler_alive

    if scheduler_alive(workspace):
        status = read_status(workspace)
        pid = status.identity.pid if status else "?"
        raise WorkspaceError(
            f"a scheduler (process {pid}) works on {workspace.root}",
            f"Wait for the queue, or `odyssey cancel` its runs; it leaves 30 s later, or at once with `kill {pid}`.",
        )
    if claimed := list_claimed(workspace):
        raise WorkspaceError(f"{sorted(claimed)[0]} is being executed by a command", "Wait for it, or cancel it.")
    active = [run_id for run_id in workspace.run_ids() if is_executed(workspace, run_id)]
    if active:
        raise WorkspaceError(
            f"{active[0]} is being executed", f"Wait for it, or `odyssey cancel {active[0]}` and try again."
        )


def is_executed(workspace: Workspace, run_id: str) -> bool:
    """Whether a run's files call it active, and its process lives or is on another machine."""
    from engine.launch.process import Identity
    from store.errors import DataError

    try:
        last = workspace.run(run_id).state()
    except DataError:
        return False
    if last.state not in ("starting", "running", "stopping"):
        return False
    if not (last.pid and last.pid_started and last.boot_id) or last.host != platform.node():
        return True
    return Identity(last.pid, last.pid_started, last.boot_id, last.host).alive()
