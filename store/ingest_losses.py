"""Losses of tokens into the database: rounded to thousandths of a nat, once they have been summed as they are.

A step of 0.001 nats is an error of at most 0.0005, an eighth of what bf16 arithmetic does to a loss on average, and
takes half the space. Sums are made before, so they are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from store.bulk import registered
from store.errors import DataError
from store.loss_sums import BlockLosses, LossSums
from store.shards import GROUP_ROWS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from store.survey import Shard

LOSS_STEP = 0.001
"""Nats between two losses that can be told apart: ``DECIMAL(9, 3)``."""
LARGEST_LOSS = 999_999.0
"""Nats; a loss beyond it is refused rather than cut off."""


def check_losses(table: pa.Table) -> None:
    """``DataError`` for losses that cannot be stored as they should: a null key, a block twice, a loss out of range."""
    import pyarrow.compute as pc

    if table["evaluation_id"].null_count or table["block"].null_count:
        raise DataError("losses without an evaluation or a block")
    if table.group_by(["evaluation_id", "block"]).aggregate([]).num_rows != table.num_rows:
        raise DataError("the losses of a block are there twice")
    least, most = pc.min_max(pc.list_flatten(table["losses"])).as_py().values()
    if least is not None and max(-least, most) > LARGEST_LOSS:
        raise DataError(f"losses from {least:g} to {most:g} nats are no losses of tokens")


class LossIntake:
    """Brings losses in within one transaction; ``close`` it before the commit."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._sums = LossSums(con)

    def insert(self, shard: Shard, table: pa.Table) -> None:
        """The newest computation of an evaluation replaces older ones whole: losses of two are never mixed.

        A part belongs to the computation that is stored when it comes of the same attempt and brings other blocks.
        Losses that cannot be summed yet are kept as they are beside the rounded ones.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        place = [shard.run_id, shard.attempt.number]
        names = pc.unique(table["evaluation_id"]).to_pylist()
        superseded = self._superseded(names, place)
        if superseded:
            table = table.filter(pc.invert(pc.is_in(table["evaluation_id"], pa.array(superseded, pa.string()))))
            names = [name for name in names if name not in superseded]
        self._replace(names, table, place)
        waiting = [name for name, losses in split(table, names) if self._sums.add(losses) == "waiting"]
        with registered(self._con, table):
            self._con.execute(
                "INSERT INTO token_losses BY NAME SELECT evaluation_id, block, "
                "try_cast(losses AS DECIMAL(9, 3)[]) AS losses, $1 AS run_id, $2::INTEGER AS attempt, "
                "CASE WHEN evaluation_id IN (SELECT unnest($3::VARCHAR[])) THEN losses END AS unsummed FROM incoming",
                [*place, waiting],
            )

    def close(self) -> None:
        """Sum what has waited for its evaluation or its tokens, and write the sums."""
        for name in self._ready():
            self._sum_waiting(name)
        self._sums.store()

    def _superseded(self, names: list[str], place: list[Any]) -> list[str]:
        found = self._con.execute(
            "SELECT DISTINCT evaluation_id FROM token_losses "
            "WHERE evaluation_id IN (SELECT unnest($1)) AND run_id = $2 AND attempt > $3",
            [names, *place],
        ).fetchall()
        return [name for (name,) in found]

    def _replace(self, names: list[str], table: pa.Table, place: list[Any]) -> None:
        with registered(self._con, table.select(["evaluation_id", "block"])):
            found = self._con.execute(
                "SELECT evaluation_id, bool_and((run_id, attempt) IS NOT DISTINCT FROM ($2, $3::INTEGER)) "
                "AND NOT bool_or((evaluation_id, block) IN (SELECT (evaluation_id, block) FROM incoming)) "
                "FROM token_losses WHERE evaluation_id IN (SELECT unnest($1)) GROUP BY evaluation_id",
                [names, *place],
            ).fetchall()
        continued = {name for name, continues in found if continues}
        old = [name for name, continues in found if not continues]
        self._sums.forget([name for name in names if name not in continued])
        if old:
            self._con.execute("DELETE FROM token_losses WHERE evaluation_id IN (SELECT unnest(?))", [old])

    def _ready(self) -> list[str]:
        found = self._con.execute(
            "SELECT DISTINCT evaluation_id FROM token_losses JOIN evaluations USING (evaluation_id) "
            "WHERE unsummed IS NOT NULL AND eval_set_id IN (SELECT DISTINCT eval_set_id FROM eval_tokens)"
        ).fetchall()
        return [name for (name,) in found]

    def _sum_waiting(self, name: str) -> None:
        blocks = self._con.execute(
            "SELECT block FROM token_losses WHERE evaluation_id = ? AND unsummed IS NOT NULL ORDER BY block", [name]
        ).fetchall()
        for start in range(0, len(blocks), GROUP_ROWS):
            part = [name, [block for (block,) in blocks[start : start + GROUP_ROWS]]]
            which = "evaluation_id = $1 AND block IN (SELECT unnest($2))"
            query = f"SELECT block, unsummed FROM token_losses WHERE {which}"
            table = self._con.sql(query, params=part).to_arrow_table()
            losses = BlockLosses.of(name, *(table[column].combine_chunks() for column in ("block", "unsummed")))
            if self._sums.add(losses) != "waiting":
                self._con.execute(f"UPDATE token_losses SET unsummed = NULL WHERE {which}", part)


def split(table: pa.Table, names: list[str]) -> Iterator[tuple[str, BlockLosses]]:
    """The losses of each evaluation of a shard."""
    import pyarrow.compute as pc

    for name in names:
        own = table if len(names) == 1 else table.filter(pc.equal(table["evaluation_id"], name))
        yield name, BlockLosses.of(name, *(own[column].combine_chunks() for column in ("block", "losses")))
