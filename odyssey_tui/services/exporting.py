"""The database's content as files for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.exchange.export import Exported
    from store.workspace import Workspace


def export_all(
    workspace: Workspace, wanted: Sequence[str], target: Path, form: str | None, *, force: bool
) -> Iterator[Exported]:
    """Write the files that were asked for, one after the other; nothing where one of them cannot be."""
    from store.exchange.export import export, plan_export
    from store.ingest import ingest

    ingest(workspace)
    for item in plan_export(workspace, wanted, target, form, force=force):
        yield export(workspace, item)
