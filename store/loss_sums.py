"""Sums of losses by token type and by document, made of the float32 losses in double precision as they come in.

They are what ledgers, masks and bootstraps read: a hundred thousand rows instead of a hundred million losses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from store.bulk import registered

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

_CACHED_TOKENS = 1 << 25
"""Tokens of evaluation sets kept in memory (8 bytes each): the states of a sweep are scored on the same sets."""
_HELD_SUMS = 1 << 22
"""Sums gathered (24 bytes each) before they are written: many short evaluations may share a transaction."""
_SLICE = 1 << 18
_KEYS = {"type_losses": "token_id", "document_losses": "document"}

Outcome = Literal["summed", "waiting", "misfit"]


@dataclass(frozen=True)
class BlockLosses:
    """Losses of one evaluation over some blocks: ``blocks`` ascending, ``lengths`` of their lists, ``values`` flat.

    ``values`` are float32 nats, NaN where nothing was predicted.
    """

    evaluation_id: str
    blocks: np.ndarray
    lengths: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, evaluation_id: str, blocks: pa.Array, lists: pa.ListArray) -> BlockLosses:
        """From Arrow columns, blocks in any order."""
        import numpy as np
        import pyarrow as pa

        order = np.argsort(blocks.to_numpy(), kind="stable")
        if not np.array_equal(order, np.arange(len(order))):
            lists = lists.take(pa.array(order))
        lengths = lists.value_lengths().fill_null(0).to_numpy().astype(np.int64)
        values = lists.flatten().to_numpy(zero_copy_only=False)
        return cls(evaluation_id, blocks.to_numpy()[order].astype(np.int64), lengths, values)


@dataclass(frozen=True)
class _SetTokens:
    """Consecutive blocks of an evaluation set: flat ``token_id`` and ``document`` beside the length of each block."""

    blocks: np.ndarray
    lengths: np.ndarray
    token_id: np.ndarray
    document: np.ndarray

    def pick(self, blocks: np.ndarray) -> _SetTokens:
        """Only these blocks."""
        import numpy as np

        if np.array_equal(blocks, self.blocks):
            return self
        wanted = np.isin(self.blocks, blocks)
        flat = np.repeat(wanted, self.lengths)
        return _SetTokens(self.blocks[wanted], self.lengths[wanted], self.token_id[flat], self.document[flat])


@dataclass
class _Tally:
    """Counts and sums by key, gathered in pieces of unique keys."""

    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, keys: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> None:
        self.pieces.append((keys, counts, sums))
        if len(self.pieces) > 8:
            self.pieces = [self.total()]

    def total(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys ascending, their counts (int64) and sums (float64)."""
        import numpy as np

        if len(self.pieces) == 1 and bool((np.diff(self.pieces[0][0]) > 0).all()):
            return self.pieces[0]
        columns = [np.concatenate(column) for column in zip(*self.pieces, strict=True)]
        keys, place = np.unique(columns[0], return_inverse=True)
        counts = np.bincount(place, weights=columns[1], minlength=len(keys)).astype(np.int64)
        return keys, counts, np.bincount(place, weights=columns[2], minlength=len(keys))


class LossSums:
    """The sums of evaluations within one transaction: ``add`` gathers, ``store`` adds them to what the tables hold."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._tokens: dict[tuple[str, int, int], _SetTokens] = {}
        self._tallies: dict[str, dict[str, _Tally]] = {}
        self._held = 0

    def forget(self, evaluation_ids: Iterable[str]) -> None:
        """Drop the sums of evaluations that are replaced."""
        for name in evaluation_ids:
            self._tallies.pop(name, None)
        old = sorted(self._stored.intersection(evaluation_ids))
        if old:
            for table in _KEYS:
                self._con.execute(f"DELETE FROM {table} WHERE evaluation_id IN (SELECT unnest(?))", [old])
            self._stored.difference_update(old)

    def add(self, losses: BlockLosses) -> Outcome:
        """Count the losses in; ``waiting`` while their evaluation or its tokens are unknown, ``misfit`` where blocks
        have other lengths than the tokens: neither is counted."""
        import numpy as np

        eval_set_id = self._sets.get(losses.evaluation_id)
        if eval_set_id is None or not len(losses.blocks):
            return "waiting"
        tokens = self._read_tokens(eval_set_id, int(losses.blocks[0]), int(losses.blocks[-1])).pick(losses.blocks)
        if not np.array_equal(tokens.blocks, losses.blocks):
            return "waiting"
        if not np.array_equal(tokens.lengths, losses.lengths):
            return "misfit"
        tallies = self._tallies.setdefault(losses.evaluation_id, {table: _Tally() for table in _KEYS})
        types, documents = _sum_types(tokens.token_id, losses.values), _sum_runs(tokens.document, losses.values)
        tallies["type_losses"].add(*types)
        tallies["document_losses"].add(*documents)
        self._held += len(types[0]) + len(documents[0])
        if self._held > _HELD_SUMS:
            self.store()
        return "summed"

    def store(self) -> None:
        """Write what was gathered; the caller's transaction holds it."""
        if not self._tallies:
            return
        for table, key in _KEYS.items():
            self._store(table, key)
        self._stored.update(self._tallies)
        self._tallies.clear()
        self._held = 0

    def _store(self, table: str, key: str) -> None:
        import numpy as np
        import pyarrow as pa

        names = sorted(self._tallies)
        totals = [self._tallies[name][table].total() for name in names]
        keys, counts, sums = (np.concatenate(column) for column in zip(*totals, strict=True))
        owner = np.repeat(np.arange(len(names), dtype=np.int32), [len(total[0]) for total in totals])
        rows = {
            "evaluation_id": pa.DictionaryArray.from_arrays(owner, names),
            key: keys.astype(np.int32),
            "n": counts,
            "sum_loss": sums,
        }
        known = sorted(self._stored.intersection(names))
        with registered(self._con, pa.table(rows)):
            if not known:
                self._con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
                return
            self._con.execute(
                f"CREATE OR REPLACE TEMP TABLE staged AS SELECT evaluation_id, {key}, sum(n)::BIGINT AS n, "
                f"sum(sum_loss) AS sum_loss FROM (SELECT * FROM incoming UNION ALL BY NAME SELECT * FROM {table} "
                f"WHERE evaluation_id IN (SELECT unnest($1))) GROUP BY ALL ORDER BY ALL",
                [known],
            )
        self._con.execute(f"DELETE FROM {table} WHERE evaluation_id IN (SELECT unnest(?))", [known])
        self._con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM staged")
        self._con.execute("DROP TABLE staged")

    @cached_property
    def _stored(self) -> set[str]:
        found = self._con.execute("SELECT DISTINCT evaluation_id FROM document_losses").fetchall()
        return {name for (name,) in found}

    @cached_property
    def _sets(self) -> dict[str, str]:
        return dict(self._con.execute("SELECT evaluation_id, eval_set_id FROM evaluations").fetchall())

    def _read_tokens(self, eval_set_id: str, first: int, last: int) -> _SetTokens:
        place = (eval_set_id, first, last)
        if place not in self._tokens:
            tokens = read_set_tokens(self._con, eval_set_id, first, last)
            while self._tokens and _held(self._tokens.values()) + len(tokens.token_id) > _CACHED_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            # A set that is not whole yet may be by the next shard.
            if len(tokens.blocks) != last - first + 1:
                return tokens
            self._tokens[place] = tokens
        return self._tokens[place]


def read_set_tokens(con: duckdb.DuckDBPyConnection, eval_set_id: str, first: int, last: int) -> _SetTokens:
    """Blocks ``first`` to ``last`` of a set, as far as they are there."""
    import numpy as np

    table = con.sql(
        "SELECT block, coalesce(len(token_ids), 0)::INTEGER AS length, token_ids, document FROM eval_tokens "
        "WHERE eval_set_id = $1 AND block BETWEEN $2 AND $3 ORDER BY block",
        params=[eval_set_id, first, last],
    ).to_arrow_table()
    flat = {name: table[name].combine_chunks().flatten() for name in ("token_ids", "document")}
    token_id, document = (column.fill_null(-1).to_numpy() for column in flat.values())
    blocks, lengths = (table[name].to_numpy().astype(np.int64) for name in ("block", "length"))
    if len(token_id) != len(document) or token_id.min(initial=0) < 0 or document.min(initial=0) < 0:
        # No losses fit damaged tokens.
        return _SetTokens(blocks, np.zeros_like(blocks), token_id[:0], document[:0])
    return _SetTokens(blocks, lengths, token_id, document)


def _held(tokens: Iterable[_SetTokens]) -> int:
    return sum(len(one.token_id) for one in tokens)


def _sum_types(token_id: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token types that were predicted, how often, and the sum of their losses."""
    import numpy as np

    size = int(token_id.max(initial=-1)) + 1
    counts, sums = np.zeros(size, np.int64), np.zeros(size)
    # Slices that fit the processor's cache: three times as fast as the whole at once.
    for start in range(0, len(values), _SLICE):
        part = values[start : start + _SLICE]
        there = np.flatnonzero(~np.isnan(part))
        ids = token_id[start : start + _SLICE][there]
        counts += np.bincount(ids, minlength=size)
        sums += np.bincount(ids, weights=part[there], minlength=size)
    found = np.flatnonzero(counts)
    return found, counts[found], sums[found]


def _sum_runs(document: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents with a predicted token, how many, and the sum of their losses. Documents lie in runs of tokens."""
    import numpy as np

    if not len(document):
        return document, np.zeros(0, np.int64), np.zeros(0)
    starts = np.flatnonzero(np.concatenate(([True], document[1:] != document[:-1])))
    there = ~np.isnan(values)
    counts = np.add.reduceat(there, starts, dtype=np.int64)
    sums = np.add.reduceat(np.where(there, values, np.float32(0)), starts, dtype=np.float64)
    found = counts > 0
    return document[starts][found], counts[found], sums[found]
