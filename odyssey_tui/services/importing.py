"""What other tools recorded, brought into a workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.importers.keep import Kept
    from engine.importers.recorded import Tool, Unread
    from store.workspace import Workspace


@dataclass(frozen=True)
class Imported:
    """The runs that were found, what became of each, and what could not be read."""

    runs: tuple[Kept, ...]
    unread: tuple[Unread, ...]


def import_runs(
    workspace: Workspace,
    paths: Sequence[Path],
    *,
    tool: Tool | None = None,
    experiment: str | None = None,
    mapped: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    write: bool = True,
) -> Imported:
    """Bring the runs of ``paths`` in; the sources are only read. ``write=False``: only say what would be done."""
    from dataclasses import replace

    from engine.importers.detect import read_all
    from engine.importers.duplicates import without_known
    from engine.importers.keep import keep
    from store.ingest import ingest

    if write:
        workspace.require_writable()
    found = read_all(paths, tool, mapped or {}, where or {})
    unread = list(found.unread)
    kept = []
    for recorded in found.runs:
        if recorded.points:
            points, doubled = without_known(workspace, recorded, experiment)
            unread += doubled
            if not points:
                continue
            recorded = replace(recorded, points=points)
        kept.append(keep(workspace, recorded, experiment, mapped or {}, write=write))
    if write:
        ingest(workspace)
    return Imported(tuple(kept), tuple(unread))
