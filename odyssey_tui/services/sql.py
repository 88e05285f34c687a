"""Questions to the database in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.queries.sql import Answer
    from store.workspace import Workspace


def ask(workspace: Workspace, statement: str) -> Answer:
    """The answer to ``statement`` over all that has been journalled so far; nothing is changed."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries.sql import answer

    ingest(workspace)
    with lease(workspace) as con:
        return answer(con, statement)
