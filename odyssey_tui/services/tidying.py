"""What could go (``odyssey store gc``): losses beyond a quota, unused caches, leftovers; listed first, then deleted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.unused import dead_workers, unused_caches

if TYPE_CHECKING:
    from store.upkeep.leftovers import Leftover
    from store.upkeep.quota import Drop
    from store.workspace import Workspace

DAY_S = 86_400.0
WORTH_COMPACTING = 16_000_000
"""Bytes of unused room in the database that are given back even when nothing was dropped."""


@dataclass(frozen=True)
class TidyPlan:
    """What could go."""

    drops: tuple[Drop, ...]
    leftovers: tuple[Leftover, ...]
    loss_bytes: int
    """Of all losses and their sums now."""
    quota_bytes: float | None
    unused_bytes: int
    """Room in the database's file that deleted rows left."""

    @property
    def dropped_bytes(self) -> float:
        return sum(drop.n_bytes for drop in self.drops)

    @property
    def n_bytes(self) -> float:
        return self.dropped_bytes + sum(leftover.n_bytes for leftover in self.leftovers) + self._reclaimed

    @property
    def beyond_reach(self) -> bool:
        """Whether the quota is exceeded even when all that may go has gone."""
        return self.quota_bytes is not None and self.loss_bytes - self.dropped_bytes > self.quota_bytes * 1.001

    @property
    def _reclaimed(self) -> int:
        return self.unused_bytes if self.compacts else 0

    @property
    def compacts(self) -> bool:
        """Whether the database's file would be written anew."""
        return bool(self.drops) or self.unused_bytes >= WORTH_COMPACTING


def plan_tidying(workspace: Workspace, *, quota_bytes: float | None, keep_s: float) -> TidyPlan:
    """What could go; losses, caches, backups and quarantined shards only when older than ``keep_s`` seconds."""
    from store.database import lease
    from store.ingest import ingest
    from store.upkeep.leftovers import find_leftovers
    from store.upkeep.losses import unused_bytes
    from store.upkeep.quota import list_holdings, loss_bytes, plan_drops

    ingest(workspace)
    with lease(workspace) as con:
        total, unused = loss_bytes(con), unused_bytes(con)
        holdings = list_holdings(con, time.time() - keep_s) if quota_bytes is not None else []
    drops = plan_drops(holdings, total, quota_bytes) if quota_bytes is not None else ()
    leftovers = (
        *find_leftovers(workspace, keep_s),
        *unused_caches(workspace, keep_s),
        *dead_workers(workspace),
    )
    return TidyPlan(drops, leftovers, total, quota_bytes, unused)


def tidy(workspace: Workspace, plan: TidyPlan) -> tuple[int, int]:
    """Do what the plan says; returns the bytes of the database's file before and after.

    What came to be needed since it was made stays: runs that were queued again keep theirs.
    """
    from store.database import lease
    from store.ingest import ingest
    from store.survey import size_of, waiting_runs
    from store.upkeep.leftovers import remove
    from store.upkeep.quota import apply_drops, list_holdings
    from store.upkeep.swap import compact

    workspace.require_writable()
    waiting = waiting_runs(workspace)
    caches_stay = bool(waiting)
    for leftover in plan.leftovers:
        run = leftover.path.relative_to(workspace.runs).parts[0] if workspace.runs in leftover.path.parents else None
        if run not in waiting and not (leftover.kind == "cache" and caches_stay and _is_read(workspace, leftover)):
            remove(leftover)
    before = size_of(workspace.database_path)
    if plan.drops:
        ingest(workspace)
        with lease(workspace, write=True, wait_s=60.0) as con:
            allowed = {holding.evaluation_id for holding in list_holdings(con, time.time())}
            apply_drops(con, [drop for drop in plan.drops if drop.evaluation_id in allowed])
    if plan.compacts:
        compact(workspace)
    return before, size_of(workspace.database_path)


def _is_read(workspace: Workspace, leftover: Leftover) -> bool:
    return leftover.path not in {unused.path for unused in unused_caches(workspace, 0.0)}
