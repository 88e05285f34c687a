"""What clients ask of the scheduler. A request is a file: it survives whoever made it, and waits for a scheduler."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


def cancel(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask that runs be cancelled: queued ones at once, running ones at their next safe point."""
    _write(workspace, "cancel", run_ids)


def retry(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Ask that failed, cancelled, lost or held runs be queued again."""
    _write(workspace, "retry", run_ids)


def pause(workspace: Workspace, run_ids: Sequence[str] = ()) -> None:
    """Ask that no further run be started; those that run go on."""
    _write(workspace, "pause", run_ids)


def resume(workspace: Workspace, run_ids: Sequence[str] = ()) -> None:
    """Ask that queued runs be started again."""
    _write(workspace, "resume", run_ids)


def read_requests(workspace: Workspace) -> list[Request]:
    """All waiting requests in the order they were made; one that cannot be read is set aside and logged."""
    folder = workspace.queue / "requests"
    found = []
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")):
        try:
            value = read_json(folder / name)
            found.append(Request(folder / name, value["action"], tuple(value["runs"])))
        except (DataError, KeyError, TypeError) as error:
            _LOG.warning("request %s set aside, it cannot be read: %r", name, error)
            os.replace(folder / name, folder / f"{name}.rejected")
    return found


def list_retrying(workspace: Workspace) -> frozenset[str]:
    """Runs that were asked to be retried and whose request no scheduler has taken up: their state is still the old one.

    Ask this before the state: a request goes when the state has changed.
    """
    found: set[str] = set()
    for path in (workspace.queue / "requests").glob("[!.]*.json"):
        try:
            value = read_json(path)
        except (FileNotFoundError, DataError):
            continue  # taken up just now, or set aside soon
        if isinstance(value, dict) and value.get("action") == "retry":
            found.update(value.get("runs") or ())
    return frozenset(found)


def _write(workspace: Workspace, action: str, run_ids: Sequence[str]) -> None:
    if missing := [run_id for run_id in run_ids if not workspace.run(run_id).exists()]:
        raise DataError(f"no run {missing[0]!r} in {workspace.root}", "`odyssey runs` lists them.")
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    write_json(workspace.queue / "requests" / name, {"action": action, "runs": list(run_ids)})
