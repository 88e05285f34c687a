"""Tables with a row for each token of an evaluated text, in Parquet or CSV, read part by part.

Two forms are known: what ``odyssey evaluate --per-token`` writes (bytes and position within the document), and what
``odyssey store export`` makes of ``token_losses`` (evaluation, block and position within it). Needed are ``document``,
``token_id`` and ``loss`` in the order of the text; a loss that is null was not predicted, one that is no number is an
error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import ConfigError, DataError
from store.names import suggest

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 1 << 18
"""Rows in memory at a time; whole passages."""
NEEDED = ("document", "token_id", "loss")
WHOLE = ("document", "token_id", "byte_start", "byte_end", "position", "block")
WORDS = ("token", "token_class", "evaluation_id")
KNOWN = (*WHOLE, *WORDS, "loss")
FACTS = b"odyssey"
"""Key of a Parquet file's metadata that says how the losses were computed (``engine.evaluate.token_table``)."""
PARQUET_BEGINS = b"PAR1"
ENDINGS = (".parquet", ".pq", ".csv", ".csv.gz")
WRITERS = "`odyssey evaluate --per-token` and `odyssey store export token_losses` write such tables."


@dataclass(frozen=True)
class TokenTable:
    """A table that was found to be one. ``evaluation``: which of several; ``facts``: how it came about, if recorded."""

    name: str
    path: Path
    evaluation: str | None
    is_parquet: bool
    columns: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_bytes(self) -> bool:
        """Whether it says which bytes a token is."""
        return {"byte_start", "byte_end"} <= {*self.columns}

    def read(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns in parts of ``ROWS`` rows, the last shorter. ``DataError`` for what cannot be read."""
        wanted = [name for name in columns if name in self.columns]
        choosing = "evaluation_id" in self.columns
        with self.explained():
            parts = self._parts([*wanted, *(["evaluation_id"] if choosing else [])])
            yield from regular((self._own(part, wanted) for part in parts) if choosing else parts, ROWS)

    def read_rows(self, first: int, last: int, columns: Sequence[str]) -> pa.Table:
        """Rows [``first``, ``last``)."""
        import pyarrow as pa

        if self.is_parquet and "evaluation_id" not in self.columns:
            with self.explained():
                return self._read_groups(first, last, columns)
        found, at = [], 0
        for part in self.read(columns):
            low, high = max(first - at, 0), min(last - at, part.num_rows)
            if low < high:
                found.append(part.slice(low, high - low))
            at += part.num_rows
            if at >= last:
                break
        return pa.concat_tables(found)

    def _read_groups(self, first: int, last: int, columns: Sequence[str]) -> pa.Table:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            groups, start, at = [], 0, 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if at < last and at + rows > first:
                    start = start if groups else at
                    groups.append(group)
                at += rows
            return file.read_row_groups(groups, list(columns)).slice(first - start, last - first)

    def _parts(self, columns: list[str]) -> Iterator[pa.Table]:
        import pyarrow as pa

        if self.is_parquet:
            import pyarrow.parquet as pq

            words = [name for name in columns if name in WORDS]
            with pq.ParquetFile(self.path, read_dictionary=words) as file:
                for batch in file.iter_batches(ROWS, columns=columns):
                    yield pa.Table.from_batches([batch])
            return
        import pyarrow.csv as csv

        kinds = {name: pa.int64() for name in WHOLE} | {"loss": pa.float64()}
        kinds |= {name: pa.dictionary(pa.int32(), pa.string()) for name in WORDS}
        convert = csv.ConvertOptions(
            column_types={name: kinds[name] for name in columns}, include_columns=columns, null_values=[""]
        )
        reading = csv.ReadOptions(block_size=16 << 20)
        parsing = csv.ParseOptions(newlines_in_values=True)
        with csv.open_csv(self.path, reading, parsing, convert) as file:
            for batch in file:
                yield pa.Table.from_batches([batch])

    def _own(self, part: pa.Table, columns: list[str]) -> pa.Table:
        """The rows of the evaluation that is meant."""
        import pyarrow.compute as pc

        names = [str(name) for name in pc.unique(part["evaluation_id"]).to_pylist()]
        if names == [self.evaluation]:
            return part.select(columns)
        return part.filter(pc.equal(part["evaluation_id"].cast("string"), self.evaluation)).select(columns)

    def evaluations(self) -> list[str]:
        """The evaluations in it, in their order."""
        import pyarrow.compute as pc

        found: dict[str, None] = {}
        with self.explained():
            for part in self._parts(["evaluation_id"]):
                found.update(dict.fromkeys(map(str, pc.unique(part["evaluation_id"]).to_pylist())))
        return list(found)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Whatever the libraries say of the file is an error of the data, with its name."""
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.name, error) from error


def is_table(name: str) -> bool:
    """Whether a name is that of a table: by its ending, or a file that is there."""
    path = Path(name.partition("#")[0] if not Path(name).exists() else name)
    return path.name.lower().endswith(ENDINGS) or path.is_file()


def open_table(name: str) -> TokenTable:
    """The table of this file, or ``FILE#EVALUATION``. ConfigError or DataError where there is no such table."""
    path, evaluation = Path(name).expanduser(), ""
    if not path.exists() and "#" in name:
        file, _, evaluation = name.rpartition("#")
        path = Path(file).expanduser()
    if not path.exists():
        near = suggest(path.name, [one.name for one in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise DataError(f"there is no file {path}", near)
    if not path.is_file():
        raise DataError(f"{path} is no file", WRITERS)
    found = _look(str(path), path)
    missing = [column for column in NEEDED if column not in found.columns]
    if missing:
        near = suggest(missing[0], found.columns)
        raise DataError(
            f"{path} is no table of token losses: it has no column {' and no column '.join(missing)}",
            f"{near} Its columns: {', '.join(found.columns[:12]) or 'none'}. {WRITERS}".lstrip(),
        )
    return _choose(found, evaluation)


def _look(name: str, path: Path) -> TokenTable:
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(PARQUET_BEGINS)) == PARQUET_BEGINS
        if is_parquet:
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                facts = (file.metadata.metadata or {}).get(FACTS)
                _refuse_kinds(name, file.schema_arrow)
                return TokenTable(name, path, None, True, tuple(file.schema_arrow.names), _facts(facts))
        if not path.name.lower().endswith((".csv", ".csv.gz")):
            raise DataError(f"{name} is no Parquet file, nor does its name end in .csv", WRITERS)
        import pyarrow.csv as csv

        with csv.open_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True)) as file:
            return TokenTable(name, path, None, False, tuple(file.schema.names))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(name, error) from error


def _refuse_kinds(name: str, schema: pa.Schema) -> None:
    import pyarrow.types as types

    for column in KNOWN:
        if column not in schema.names or column in WORDS:
            continue
        kind = schema.field(column).type
        if not (types.is_integer(kind) or (column == "loss" and (types.is_floating(kind) or types.is_decimal(kind)))):
            wanted = "numbers" if column == "loss" else "whole numbers"
            raise DataError(f"{name}: the column {column} holds {kind}, not {wanted}", WRITERS)


def _choose(table: TokenTable, evaluation: str) -> TokenTable:
    """The table with the evaluation that is meant: the one named, or the only one."""
    if "evaluation_id" not in table.columns:
        if evaluation:
            raise ConfigError(f"{table.name} holds one evaluation, without a name", f"Leave #{evaluation} out.")
        return table
    there = table.evaluations()
    begin = [one for one in there if one == evaluation] or [one for one in there if one.startswith(evaluation)]
    if len(begin) != 1:
        what = f"no evaluation {evaluation}" if evaluation and not begin else f"{len(begin)} evaluations"
        listed = ", ".join(there[:6]) + (", …" if len(there) > 6 else "")
        near = suggest(evaluation, there) if evaluation else ""
        raise DataError(f"{table.name} holds {what}", f"{near} Name one as {table.name}#ID: {listed}.".lstrip())
    name = f"{table.name}#{begin[0]}" if len(there) > 1 else table.name
    return TokenTable(name, table.path, begin[0], table.is_parquet, table.columns, table.facts)


def _facts(content: bytes | None) -> Mapping[str, Any]:
    try:
        facts = json.loads(content or b"{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _unreadable(name: str, error: Exception) -> DataError:
    reason = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).splitlines()
    return DataError(f"{name} cannot be read: {reason[0] if reason else type(error).__name__}", WRITERS)


def regular(parts: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in parts of ``rows``, the last shorter."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for part in parts:
        held.append(part)
        while sum(one.num_rows for one in held) >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held = [whole.slice(rows)]
    if any(one.num_rows for one in held):
        yield pa.concat_tables(held)
