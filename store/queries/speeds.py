"""How fast finished runs were, by what their speed depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Speed:
    """Finished runs of one kind on one kind of device with models of one size; ``flops`` as they were planned."""

    kind: str
    device: str
    n_params: int | None
    """None of runs without a model of their own."""
    precision: str | None
    method: str
    world: int
    runs: int
    flops: float
    seconds: float


_SPEEDS = """
WITH sizes AS (SELECT run_id, max(n_params) AS n_params FROM models WHERE run_id IS NOT NULL GROUP BY run_id)
SELECT r.kind, r.device, s.n_params,
    CASE WHEN r.kind IN ('pretrain', 'adapt')
        THEN coalesce(r.spec->>'$.job.training.precision', 'fp32') END AS precision,
    coalesce(r.spec->>'$.job.method.name', 'full') AS method,
    coalesce((r.spec->>'$.resources.nodes')::INTEGER, 1)
        * greatest(coalesce((r.spec->>'$.resources.gpus')::INTEGER, 0),
            coalesce((r.spec->>'$.resources.processes')::INTEGER, 1)) AS world,
    count(*) AS runs, sum(coalesce(r.cost_flops, 0)) AS flops, sum(r.ended - r.started) AS seconds
FROM runs r LEFT JOIN sizes s USING (run_id)
WHERE r.state = 'done' AND r.attempt = 1 AND r.ended > r.started
GROUP BY ALL
"""


def list_speeds(con: duckdb.DuckDBPyConnection) -> list[Speed]:
    """One row per combination; runs that were resumed are left out, for their seconds are of the last attempt."""
    return fetch(con, Speed, _SPEEDS)
