"""Which losses to let go of so that the rest fits a quota: the oldest first, what others are compared with last.

Tiers of an evaluation: ``tokens`` (every loss), ``documents`` (sums by document and by type of token), ``summary`` (its
row).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from store.bulk import transaction
from store.upkeep.losses import table_bytes

if TYPE_CHECKING:
    import duckdb

DETAIL = {"tokens": ("token_losses",), "documents": ("type_losses", "document_losses")}
"""Tables that a tier has and the next lower one has not."""
NEXT = {"tokens": "documents", "documents": "summary"}


@dataclass(frozen=True)
class Holding:
    """What an evaluation takes up. Bytes are its share of the tables' bytes, by rows."""

    evaluation_id: str
    run_id: str
    kept: str
    n_bytes: dict[str, float]
    """By tier: what leaving it frees."""
    valued: bool
    """Its run is pinned, tagged or noted, or other states are compared with it."""
    references: int
    """States that are compared with it."""
    t: float


@dataclass(frozen=True)
class Drop:
    """One evaluation one tier lower."""

    evaluation_id: str
    run_id: str
    kept: str
    """The tier it goes to."""
    n_bytes: float
    valued: bool


_HOLDINGS = """
WITH marked AS (
    SELECT run_id FROM notes WHERE event IN ('pin', 'unpin') GROUP BY run_id HAVING arg_max(event, seq) = 'pin'
    UNION SELECT run_id FROM notes WHERE event = 'note'
    UNION SELECT run_id FROM notes WHERE event IN ('tag', 'untag') GROUP BY run_id, text
    HAVING arg_max(event, seq) = 'tag'
), busy AS (SELECT run_id FROM runs WHERE NOT closed UNION SELECT unnest(needs) FROM runs WHERE NOT closed),
children AS (SELECT parent AS model_id, count(*) AS n FROM models WHERE parent IS NOT NULL GROUP BY ALL)
SELECT e.evaluation_id, coalesce(m.run_id, e.run_id, ''), e.kept, coalesce(e.t, 0), coalesce(c.n, 0),
    coalesce(m.run_id IN (FROM marked) OR e.run_id IN (FROM marked), false)
FROM evaluations e LEFT JOIN models m USING (model_id) LEFT JOIN children c USING (model_id)
WHERE coalesce(m.run_id NOT IN (FROM busy), true) AND coalesce(e.run_id NOT IN (FROM busy), true)
    AND coalesce(e.t, 0) <= ?
"""


def list_holdings(con: duckdb.DuckDBPyConnection, before: float) -> list[Holding]:
    """Evaluations whose losses may go: those made before a time, of no run that is unfinished or that one needs."""
    shares = {tier: _shares(con, tables) for tier, tables in DETAIL.items()}
    return [
        Holding(
            evaluation_id=name,
            run_id=run_id,
            kept=kept,
            n_bytes={tier: share.get(name, 0.0) for tier, share in shares.items()},
            valued=bool(marked or references),
            references=references,
            t=t,
        )
        for name, run_id, kept, t, references, marked in con.execute(_HOLDINGS, [before]).fetchall()
    ]


def loss_bytes(con: duckdb.DuckDBPyConnection) -> int:
    """Bytes of all losses and their sums."""
    return sum(table_bytes(con, table) for tables in DETAIL.values() for table in tables)


def plan_drops(holdings: Sequence[Holding], total_bytes: float, quota_bytes: float) -> tuple[Drop, ...]:
    """What to drop for ``total_bytes`` to become ``quota_bytes``, if that can be: losses of tokens first, then sums."""
    drops: dict[str, Drop] = {}
    excess = total_bytes - quota_bytes
    ordered = sorted(holdings, key=lambda holding: (holding.valued, holding.references, holding.t))
    for tier in ("tokens", "documents"):
        for number, holding in enumerate(ordered):
            if excess <= 0:
                break
            if holding.kept == tier and holding.n_bytes[tier]:
                earlier = drops.get(holding.evaluation_id)
                freed = holding.n_bytes[tier] + (earlier.n_bytes if earlier else 0.0)
                drops[holding.evaluation_id] = Drop(
                    holding.evaluation_id, holding.run_id, NEXT[tier], freed, holding.valued
                )
                ordered[number] = replace(holding, kept=NEXT[tier])
                excess -= holding.n_bytes[tier]
    return tuple(drops.values())


def apply_drops(con: duckdb.DuckDBPyConnection, drops: Sequence[Drop]) -> None:
    """Delete the losses and say so in the evaluations, in one transaction."""
    with transaction(con):
        for kept, tables in _gone().items():
            names = [drop.evaluation_id for drop in drops if drop.kept == kept]
            for table in tables:
                con.execute(f"DELETE FROM {table} WHERE evaluation_id IN (SELECT unnest(?))", [names])
            con.execute("UPDATE evaluations SET kept = ? WHERE evaluation_id IN (SELECT unnest(?))", [kept, names])


def _gone() -> dict[str, tuple[str, ...]]:
    """Tables that have nothing of an evaluation of a tier."""
    return {"documents": DETAIL["tokens"], "summary": (*DETAIL["tokens"], *DETAIL["documents"])}


def _shares(con: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for table in tables:
        for name, share in _rows_of(con, table):
            found[name] = found.get(name, 0.0) + share
    return found


def _rows_of(con: duckdb.DuckDBPyConnection, table: str) -> Iterator[tuple[str, float]]:
    rows = con.execute(f"SELECT evaluation_id, count(*) FROM {table} GROUP BY ALL").fetchall()
    total, n_bytes = sum(n for _, n in rows), table_bytes(con, table)
    for name, n in rows:
        yield name, n_bytes * n / total
