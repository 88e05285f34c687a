"""The losses of single tokens as one long table, a row for each: what the database keeps as lists, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.database import lease
from store.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

TOKEN_LOSSES = "token_losses"
BLOCKS = 512
"""Blocks of 1,024 tokens written at a time: what bounds the memory, whatever the evaluations' sizes."""
_CHUNK = """
WITH chunk AS (
    SELECT l.evaluation_id, e.eval_set_id, s.tokenizer_id, l.block, t.token_ids, t.document, {losses} AS losses
    FROM token_losses l
    JOIN evaluations e ON e.evaluation_id = l.evaluation_id
    LEFT JOIN eval_sets s ON s.eval_set_id = e.eval_set_id
    LEFT JOIN (SELECT * FROM eval_tokens WHERE eval_set_id IN (SELECT unnest($2)) AND block BETWEEN $3 AND $4) t
        ON t.eval_set_id = e.eval_set_id AND t.block = l.block
    WHERE l.evaluation_id IN (SELECT unnest($1)) AND l.block BETWEEN $3 AND $4
), tokens AS (
    SELECT evaluation_id, eval_set_id, tokenizer_id, block, unnest(range(len(losses)))::INTEGER AS position,
        unnest(document) AS document, unnest(token_ids) AS token_id, unnest(losses)::DOUBLE AS loss
    FROM chunk
)
SELECT k.evaluation_id, k.eval_set_id, k.block, k.position, k.document, d.corpus, d.doc_id, k.token_id, v.text AS token,
    v.token_class, k.loss
FROM tokens k
LEFT JOIN documents d ON d.eval_set_id = k.eval_set_id AND d.document = k.document
LEFT JOIN vocabulary v ON v.tokenizer_id = k.tokenizer_id AND v.token_id = k.token_id
ORDER BY k.evaluation_id, k.block, k.position
"""


def write_token_losses(workspace: Workspace, path: Path, form: str) -> int:
    """Write every stored loss to ``path`` and return their number; positions count within a block.

    Each part is read under a lease of its own, so that a long export holds nobody up.
    """
    rows = 0
    with _Writer(path, form) as writer:
        for part in _parts(_evaluations(workspace)):
            with lease(workspace) as con:
                query = _CHUNK.format(losses=_losses({name for (name,) in con.execute(_COLUMNS).fetchall()}))
                bounds = [list(part.evaluations), list(part.eval_sets), part.first, part.last]
                found = con.sql(query, params=bounds).to_arrow_table()
            writer.write(found)
            rows += found.num_rows
    return rows


@dataclass(frozen=True)
class _Part:
    """Blocks ``first`` to ``last`` of some evaluations: of one that is large, or all those of several small ones."""

    evaluations: tuple[str, ...]
    eval_sets: tuple[str, ...]
    first: int
    last: int


def _parts(evaluations: Iterable[tuple[str, str, int]]) -> Iterator[_Part]:
    """What is read at a time: about ``BLOCKS`` blocks, whole evaluations where they are small, in order."""
    together: list[tuple[str, str, int]] = []
    for evaluation_id, eval_set_id, blocks in evaluations:
        if together and sum(n for *_, n in together) + blocks > BLOCKS:
            yield _whole(together)
            together = []
        if blocks <= BLOCKS:
            together.append((evaluation_id, eval_set_id, blocks))
            continue
        for first in range(0, blocks, BLOCKS):
            yield _Part((evaluation_id,), (eval_set_id,), first, first + BLOCKS - 1)
    if together:
        yield _whole(together)


def _whole(together: list[tuple[str, str, int]]) -> _Part:
    evaluations, eval_sets, blocks = zip(*together, strict=True)
    return _Part(evaluations, tuple(dict.fromkeys(eval_sets)), 0, max(blocks))


_COLUMNS = "SELECT column_name FROM duckdb_columns() WHERE table_name = 'token_losses'"


def _losses(columns: set[str]) -> str:
    return "coalesce(l.unsummed::DOUBLE[], l.losses::DOUBLE[])" if "unsummed" in columns else "l.losses::DOUBLE[]"


def _evaluations(workspace: Workspace) -> list[tuple[str, str, int]]:
    with lease(workspace) as con:
        return con.execute(
            "SELECT l.evaluation_id, any_value(e.eval_set_id), max(l.block) + 1 "
            "FROM token_losses l JOIN evaluations e USING (evaluation_id) GROUP BY 1 ORDER BY 1"
        ).fetchall()


class _Writer:
    """Parts of one table into one file."""

    def __init__(self, path: Path, form: str) -> None:
        self._path, self._form = path, form
        self._writer: Any = None

    def __enter__(self) -> _Writer:
        return self

    def write(self, part: pa.Table) -> None:
        if self._writer is None:
            self._open(part.schema)
        self._writer.write_table(part)

    def _open(self, schema: pa.Schema) -> None:
        import pyarrow.csv as csv
        import pyarrow.parquet as pq

        make = {"parquet": lambda: pq.ParquetWriter(self._path, schema, compression="zstd")}
        self._writer = make.get(self._form, lambda: csv.CSVWriter(self._path, schema))()

    def __exit__(self, *_: object) -> None:
        if self._writer is None:
            self._open(_empty())
        self._writer.close()


def _empty() -> pa.Schema:
    import pyarrow as pa

    text, whole = pa.string(), pa.int32()
    return pa.schema(
        {
            **{"evaluation_id": text, "eval_set_id": text, "block": whole, "position": whole, "document": whole},
            **{"corpus": text, "doc_id": text, "token_id": whole, "token": text, "token_class": text},
            "loss": pa.float64(),
        }
    )
