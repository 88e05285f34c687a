"""What a reader of a workspace should know: what is left out, what is not up to date, what may go wrong."""

from __future__ import annotations

import time
from pathlib import Path

from store.mounts import file_system_of, is_shared
from store.settings import SETTINGS_FILE
from store.strays import find_strays
from store.survey import ended_runs, has_news
from store.workspace import Workspace


def list_cautions(workspace: Workspace, mountinfo: str | None = None) -> list[str]:
    """Sentences, each with what to do; none for a workspace in order. ``mountinfo`` as the kernel writes it."""
    found = [str(stray) for stray in find_strays(workspace, ended_runs(workspace))]
    if has_news(workspace):
        from store.ingest import can_ingest

        if not can_ingest(workspace):
            found.append(_stale(workspace.database_path))
    kind = file_system_of(workspace.database_path.parent, mountinfo)
    if is_shared(kind):
        found.append(
            f"the database {workspace.database_path} lies on a network file system ({kind}), whose locks may fail. "
            f'Put it on a local disk: database = "/local/path/NAME.duckdb" in {workspace.root / SETTINGS_FILE}, '
            "and move the file there"
        )
    return found


def _stale(database: Path) -> str:
    try:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(database.stat().st_mtime))
    except OSError:
        at = "it was made"
    return f"you cannot write {database}: what happened since {at} is not in it. Its owner's `odyssey runs` reads it in"
