"""Shards: Parquet files in an attempt's spool, through which a worker hands tables to the database."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import DataError
from store.files import cannot_write, temporary_name, write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 2048
"""Rows of a row group of a shard, and of the database: with blocks of 1,024 tokens, what is handled at once."""
BLOCK_TOKENS = 1024
"""Consecutive tokens of an evaluation stream in one row of ``eval_set`` and ``token_losses``, whatever the window."""
SHARD_NAME = re.compile(r"(?P<kind>[a-z_]+)-(?P<number>\d{6,})\.parquet")
_COUNTER = ".count"
_GROUPED = {"token_losses": GROUP_ROWS, "eval_set": GROUP_ROWS}
_WHOLE_BYTES = 64_000_000
"""A shard of more bytes is read group by group."""


@cache
def schemas() -> dict[str, pa.Schema]:
    """Arrow schema by kind of shard."""
    # pyarrow costs 0.15 s, which a process that only writes journals need not pay.
    import pyarrow as pa

    text, number, whole, big = pa.string(), pa.float64(), pa.int32(), pa.int64()
    return {
        "eval_set": pa.schema(
            {
                "eval_set_id": text,
                "block": whole,
                "token_ids": pa.list_(whole),
                "document": pa.list_(whole),
                "byte_start": pa.list_(big),
                "byte_end": pa.list_(big),
            }
        ),
        "documents": pa.schema(
            {"eval_set_id": text, "document": whole, "corpus": text, "doc_id": text, "n_bytes": big}
        ),
        "vocabulary": pa.schema({"tokenizer_id": text, "token_id": whole, "text": text, "token_class": text}),
        "token_losses": pa.schema({"evaluation_id": text, "block": whole, "losses": pa.list_(pa.float32())}),
        "type_drift": pa.schema(
            {
                "drift_id": text,
                "token_id": whole,
                "n": big,
                "sum_before": number,
                "sum_after": number,
                "sum_output": number,
                "sum_hidden": number,
                "hidden_drift": number,
                "hidden_cosine": number,
                "input_drift": number,
                "input_cosine": number,
                "output_drift": number,
                "output_cosine": number,
            }
        ),
        "fit_points": pa.schema(
            {
                "fit_id": text,
                "point": whole,
                "split": text,
                "run_id": text,
                "n_params": big,
                "ptpp": number,
                "adapt_tokens": big,
                "atpp": number,
                "replay_ratio": number,
                "share": number,
                "loss": number,
                "zero_shot_loss": number,
                "predicted": number,
                "reason": text,
                "weight": number,
            }
        ),
        "fit_draws": pa.schema({"fit_id": text, "draw": whole, "params": pa.list_(number)}),
    }


def write_shard(spool: Path, kind: str, table: pa.Table) -> str:
    """Write ``table`` into ``spool`` as the next shard and return its name.

    Columns are taken by name, in any order, and cast; a missing column or a value that does not fit is a ``DataError``.
    Numbers never repeat within a spool, even after shards were ingested and deleted: a name stands for one content.
    """
    import pyarrow.parquet as pq

    fitted = fit_to_schema(kind, table)
    number = _read_counter(spool) + 1
    write_atomic(spool / _COUNTER, f"{number}\n")
    name = f"{kind}-{number:06d}.parquet"
    temporary = spool / temporary_name(name)
    try:
        with open(temporary, "wb") as file:
            pq.write_table(
                fitted, file, compression="zstd", write_page_checksum=True, row_group_size=_GROUPED.get(kind)
            )
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, spool / name)
    except OSError as error:
        raise cannot_write(spool / name, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return name


def read_shard(path: Path, kind: str) -> pa.Table:
    """The table of a shard; ``DataError`` names the file when it is damaged or has other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path, memory_map=False, page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot read the shard {path}: {str(error).splitlines()[0]}") from error
    return fit_to_schema(kind, table, where=f"{path}: ")


def scan_shard(path: Path, kind: str, check: Callable[[pa.Table], None] | None = None) -> Iterator[pa.Table]:
    """The table of a shard in parts that fit in memory, each one passed by ``check`` (which raises ``DataError``).

    A large shard is read twice: damage anywhere in it is a ``DataError`` before its first part is handed out.
    """
    if kind not in _GROUPED or _size_of(path) <= _WHOLE_BYTES:
        table = read_shard(path, kind)
        if check is not None:
            check(table)
        return iter((table,))
    for part in _read_groups(path, kind):
        if check is not None:
            check(part)
    return _read_groups(path, kind)


def _read_groups(path: Path, kind: str) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=False, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=GROUP_ROWS):
                yield fit_to_schema(kind, pa.Table.from_batches([batch]), where=f"{path}: ")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot read the shard {path}: {str(error).splitlines()[0]}") from error


def fit_to_schema(kind: str, table: pa.Table, where: str = "") -> pa.Table:
    """``table`` with exactly the columns of ``kind``, cast to their types."""
    import pyarrow as pa

    schema = schemas().get(kind)
    if schema is None:
        raise DataError(f"{where}unknown kind of shard {kind!r}", f"Known kinds: {', '.join(sorted(schemas()))}.")
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise DataError(f"{where}a shard of {kind} lacks the columns {', '.join(missing)}")
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise DataError(f"{where}a column of the {kind} shard has the wrong type: {error}") from error


def _size_of(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise DataError(f"cannot read the shard {path}: {error.strerror}") from error


def _read_counter(spool: Path) -> int:
    try:
        return int((spool / _COUNTER).read_text())
    except FileNotFoundError:
        numbers = [int(match["number"]) for name in _names(spool) if (match := SHARD_NAME.fullmatch(name))]
        return max(numbers, default=0)


def _names(spool: Path) -> list[str]:
    try:
        return os.listdir(spool)
    except FileNotFoundError:
        return []
