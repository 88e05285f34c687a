"""What clients ask of the scheduler. A request is a file: it survives whoever made it, and waits for a scheduler."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.code import read_code
from store.errors import DataError
from store.files import read_json, write_json
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One request as read back."""

    path: Path
    action: str
    runs: tuple[str, ...]
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else the action takes: ``where``, ``experiments``, ``level``, ``resources``, ``code``."""

    @property
    def experiments(self) -> tuple[str, ...]:
        """The experiments it is about; none where it is about runs or the whole queue."""
        return tuple(self.more.get("experiments") or ())


def cancel(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask that runs be cancelled: queued ones at once, running ones at their next safe point."""
    _write(workspace, "cancel", run_ids)


def retry(workspace: Workspace, run_ids: Sequence[str], *, level: float | None = None) -> None:
    """Ask that failed, cancelled, lost or held runs be queued again, with the code as it is now."""
    more = {} if level is None else {"level": level}
    _write(workspace, "retry", run_ids, code=read_code().record(), **more)


def hold(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask that runs be kept back until released; one that runs saves and stops at its next safe point."""
    _write(workspace, "hold", run_ids)


def release(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask that held runs wait for their turn again."""
    _write(workspace, "release", run_ids)


def move(workspace: Workspace, run_ids: Sequence[str], where: str) -> None:
    """Ask for another place in the queue: one ``up`` or ``down``, or to the ``top`` or the ``bottom``."""
    _write(workspace, "move", run_ids, where=where)


def raise_level(workspace: Workspace, run_ids: Sequence[str], level: float) -> None:
    """Ask that waiting runs take the place that this priority gives them."""
    _write(workspace, "level", run_ids, level=level)


def reallot(workspace: Workspace, run_ids: Sequence[str], resources: Mapping[str, Any]) -> None:
    """Ask that waiting runs take other resources."""
    _write(workspace, "reallot", run_ids, resources=dict(resources))


def pause(workspace: Workspace, experiments: Sequence[str] = ()) -> None:
    """Ask that no further run be started, or none of these experiments; those that run go on."""
    _write(workspace, "pause", (), experiments=list(experiments))


def resume(workspace: Workspace, experiments: Sequence[str] = ()) -> None:
    """Ask that queued runs, or those of these experiments, be started again."""
    _write(workspace, "resume", (), experiments=list(experiments))


def read_requests(workspace: Workspace) -> list[Request]:
    """All waiting requests in the order they were made; one that cannot be read is set aside and logged."""
    folder = workspace.queue / "requests"
    found = []
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")):
        try:
            found.append(_parse(folder / name))
        except (DataError, KeyError, TypeError, AttributeError, OSError) as error:
            set_aside(folder / name, f"it cannot be read: {error!r}")
    return found


def set_aside(path: Path, reason: str) -> None:
    """Take a request out of the way, for people to look at: the queue goes on without it."""
    _LOG.warning("request %s set aside: %s", path.name, reason)
    os.replace(path, path.with_name(f"{path.name}.rejected"))


def postpone(request: Request, runs: Sequence[str]) -> None:
    """Keep a request for some of its runs; with none it is done with."""
    if runs:
        write_json(request.path, {"action": request.action, "runs": list(runs), **request.more})
    else:
        request.path.unlink(missing_ok=True)


def _parse(path: Path) -> Request:
    value = read_json(path)
    action, runs = value.pop("action"), value.pop("runs")
    if not isinstance(action, str) or isinstance(runs, str) or not all(isinstance(run_id, str) for run_id in runs):
        raise TypeError("action is a name, runs are a list of names")
    return Request(path, action, tuple(runs), value)


def list_retrying(workspace: Workspace) -> frozenset[str]:
    """Runs that were asked to be retried and whose request no scheduler has taken up: their state is still the old one.

    Ask this before the state: a request goes when the state has changed.
    """
    return _list_asked(workspace, "retry")


def list_cancelling(workspace: Workspace) -> frozenset[str]:
    """Runs that were asked to be cancelled and whose request no scheduler has taken up."""
    return _list_asked(workspace, "cancel")


def list_holding(workspace: Workspace) -> frozenset[str]:
    """Runs that were asked to be held and whose request no scheduler has taken up."""
    return _list_asked(workspace, "hold")


def _list_asked(workspace: Workspace, action: str) -> frozenset[str]:
    found: set[str] = set()
    for path in (workspace.queue / "requests").glob("[!.]*.json"):
        try:
            value = read_json(path)
        except (FileNotFoundError, DataError):
            continue  # taken up just now, or set aside soon
        if isinstance(value, dict) and value.get("action") == action and isinstance(value.get("runs"), list):
            found.update(run_id for run_id in value["runs"] if isinstance(run_id, str))
    return frozenset(found)


def _write(workspace: Workspace, action: str, run_ids: Sequence[str], **more: Any) -> None:
    if missing := [run_id for run_id in run_ids if not workspace.run(run_id).exists()]:
        raise DataError(f"no run {missing[0]!r} in {workspace.root}", "`odyssey runs` lists them.")
    if foreign := [run_id for run_id in run_ids if workspace.run(run_id).is_imported()]:
        raise DataError(
            f"{foreign[0]} was imported: there is nothing to {action}",
            "What it did is known from another tool; `odyssey import` brings what that has recorded since.",
        )
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    write_json(workspace.queue / "requests" / name, {"action": action, "runs": list(run_ids), **more})
