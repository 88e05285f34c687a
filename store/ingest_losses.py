"""Losses of tokens into the database: rounded to thousandths of a nat, once they have been summed as they are.

A step of 0.001 nats is an error of at most 0.0005, an eighth of what bf16 arithmetic does to a loss on average, and
takes half the space. Sums are made before, so they are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
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
    """Brings losses in within one transaction; ``close`` it before the commit.

    The newest computation of an evaluation replaces older ones whole: losses of two are never mixed. A shard continues
    the computation that is stored when it comes of the same attempt and brings other blocks. Losses that cannot be
    summed yet are kept as they are beside the rounded ones.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._sums = LossSums(con)
        self._place: tuple[str, int] = ("", 0)
        self._pending: list[tuple[str, pa.Table]] = []
        """Losses of one evaluation each, of the attempt ``_place``."""
        self._taken: set[str] = set()
        """Evaluations of which losses were written."""

    def insert(self, shard: Shard, table: pa.Table) -> None:
        """Take the losses of a shard, or of a part of one. Small ones wait for others: a statement costs more."""
        parts = list(split(table))
        place = (shard.run_id, shard.attempt.number)
        waiting = {name for name, _ in self._pending}
        rows = sum(own.num_rows for _, own in self._pending)
        if place != self._place or rows >= GROUP_ROWS or any(name in waiting for name, _ in parts):
            self._flush()
        self._place = place
        self._pending.extend(part for part in parts if not self._superseded(part[0]))

    def close(self) -> None:
        """Sum what has waited for its evaluation or its tokens, write the sums, and say that the losses are kept."""
        self._flush()
        for name in self._ready():
            self._sum_waiting(name)
        self._sums.store()
        # Of an evaluation that was computed again, less may have been kept.
        self._con.execute(
            "UPDATE evaluations SET kept = 'tokens' WHERE kept <> 'tokens' AND evaluation_id IN (SELECT unnest(?))",
            [sorted(self._taken)],
        )

    def _flush(self) -> None:
        import pyarrow as pa

        pending, self._pending = self._pending, []
        if not pending:
            return
        table = pa.concat_tables(own for _, own in pending)
        self._replace([name for name, _ in pending], table)
        waiting = [name for name, own in pending if self._sums.add(losses_of(name, own, "losses")) == "waiting"]
        with registered(self._con, table):
            self._con.execute(
                "INSERT INTO token_losses BY NAME SELECT evaluation_id, block, "
                "try_cast(losses AS DECIMAL(9, 3)[]) AS losses, $1 AS run_id, $2::INTEGER AS attempt, "
                "CASE WHEN evaluation_id IN (SELECT unnest($3::VARCHAR[])) THEN losses END AS unsummed FROM incoming",
                [*self._place, waiting],
            )

    @cached_property
    def _owners(self) -> dict[str, tuple[Any, Any]]:
        """Run and attempt of every evaluation with losses: read once, as asking for each shard would cost more."""
        found = self._con.execute(
            "SELECT evaluation_id, any_value(run_id), max(attempt) FROM token_losses GROUP BY evaluation_id"
        ).fetchall()
        return {name: (run_id, attempt) for name, run_id, attempt in found}

    def _superseded(self, name: str) -> bool:
        """Whether a later attempt of the same run has computed the evaluation."""
        owner = self._owners.get(name)
        return owner is not None and owner[0] == self._place[0] and owner[1] > self._place[1]

    def _replace(self, names: list[str], table: pa.Table) -> None:
        """Delete what is there of these evaluations, unless ``table`` continues it."""
        continued = {name for name in names if self._owners.get(name) == self._place}
        if continued:
            continued -= self._repeated(continued, table)
        new = [name for name in names if name not in continued]
        self._sums.forget(new)
        old = [name for name in new if name in self._owners]
        if old:
            self._con.execute("DELETE FROM token_losses WHERE evaluation_id IN (SELECT unnest(?))", [old])
        self._owners.update(dict.fromkeys(names, self._place))
        self._taken.update(names)

    def _repeated(self, names: set[str], table: pa.Table) -> set[str]:
        with registered(self._con, table.select(["evaluation_id", "block"])):
            found = self._con.execute(
                "SELECT DISTINCT evaluation_id FROM token_losses SEMI JOIN incoming USING (evaluation_id, block) "
                "WHERE evaluation_id IN (SELECT unnest(?))",
                [sorted(names)],
            ).fetchall()
        return {name for (name,) in found}

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
            if self._sums.add(losses_of(name, table, "unsummed")) != "waiting":
                self._con.execute(f"UPDATE token_losses SET unsummed = NULL WHERE {which}", part)


def split(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each evaluation of a shard."""
    import pyarrow.compute as pc

    names = pc.unique(table["evaluation_id"]).to_pylist()
    for name in names:
        yield name, table if len(names) == 1 else table.filter(pc.equal(table["evaluation_id"], name))


def losses_of(name: str, table: pa.Table, column: str) -> BlockLosses:
    """Losses of one evaluation from its rows."""
    return BlockLosses.of(name, table["block"].combine_chunks(), table[column].combine_chunks())
