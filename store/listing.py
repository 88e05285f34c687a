"""All runs as lists show them, kept in a file beside the database: who starts need not open it for that.

The file says of which state of the database it is, so that it is right or of no use; whoever asks the database anew
writes it again. Losing it costs a query.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import orjson

from store.database import lease
from store.errors import WorkspaceError
from store.files import write_atomic
from store.location import check_location
from store.queries.runs import SUMMARY_QUERY, list_columns
from store.survey import has_news

if TYPE_CHECKING:
    from pathlib import Path

    from store.database import Connection
    from store.workspace import Workspace

Columns = Mapping[str, list[Any]]
"""The fields of ``RunSummary`` and ``seed_key``, by name: in each a value for every run, in the order of queueing."""
State = list[Any]
_HEADER_BYTES = 4096
_KEEP_S = 60.0
"""While runs train the database changes every few seconds; so often at most one reader keeps what it has found."""


class Listed(NamedTuple):
    """All runs, and of which state of the database they are (``version_of``)."""

    state: State | None
    columns: Columns


class RunListing:
    """Lists the runs of one workspace again and again. Threads may share one."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._seed_keys: dict[str, str] = {}
        self._kept: float | None = None
        """When this reader last kept what it had found."""

    def recall(self) -> Listed | None:
        """What was found last, by whom ever, and may not be so any more; at once. None where nothing was.

        ``WorkspaceError`` where the database is elsewhere, or another workspace's.
        """
        check_location(self._workspace)
        return _recall(self._workspace.database_path)

    def read(self, *, seeds: bool = True) -> Columns:
        """All runs, as current as the files are. Unless ``seeds``, keys that nobody has found yet are None.

        Raises as ``ingest`` and ``lease`` do.
        """
        return self.read_news(None, seeds=seeds).columns

    def read_news(self, before: State | None, *, seeds: bool = True) -> Listed:
        """As ``read``; no columns where the database is in the state ``before``."""
        if has_news(self._workspace):
            from store.ingest import ingest

            ingest(self._workspace)
        check_location(self._workspace)
        path = self._workspace.database_path
        with self._lock:
            if before is not None and before == version_of(path):
                return Listed(before, {})
            known = _recall(path)
            if known is not None:
                if known.state == version_of(path) and not (seeds and None in known.columns["seed_key"]):
                    return known
                self._seed_keys.update(_found(known.columns))
            with lease(self._workspace) as con:
                found = Listed(version_of(path), self._ask(con, seeds=seeds))
            if found.state is not None and (self._kept is None or time.monotonic() - self._kept >= _KEEP_S):
                self._kept = time.monotonic()
                _keep(path, found)
            return found

    def _ask(self, con: Connection, *, seeds: bool) -> Columns:
        from store.queries.seeds import find_seed_keys, lasts
        from store.queries.tokenizers import find_tokenizers

        columns = list_columns(con)
        run_ids = columns["run_id"]
        trained = zip(run_ids, columns["tokenizer_id"], columns["train_loss"], strict=True)
        if unsaid := [run_id for run_id, tokenizer, loss in trained if tokenizer is None and loss is not None]:
            said = find_tokenizers(con, unsaid)
            columns["tokenizer_id"] = [
                tokenizer or said.get(run_id)
                for run_id, tokenizer in zip(run_ids, columns["tokenizer_id"], strict=True)
            ]
        # One that is deleted may be launched again under other labels: what is kept must not bring its key back.
        for gone in self._seed_keys.keys() - set(run_ids):
            del self._seed_keys[gone]
            self._kept = None
        new = find_seed_keys(con, run_ids, self._seed_keys) if seeds else {}
        self._seed_keys.update({run_id: key for run_id, key in new.items() if lasts(key)})
        return {**columns, "seed_key": [self._seed_keys.get(run_id, new.get(run_id)) for run_id in run_ids]}


def version_of(path: Path) -> State | None:
    """What no two states of a database file share; None where there is none, or a part of it is in a log beside it.

    DuckDB counts in the headers behind the first what it has brought into the file: an equal time and length of the
    file would not say that nothing has.
    """
    try:
        # First: a log that is brought into the file meanwhile shows in the headers.
        if os.path.exists(f"{path}.wal"):
            return None
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            headers = file.read(3 * _HEADER_BYTES)
    except OSError:
        return None
    starts = (headers[at : at + 64].hex() for at in (_HEADER_BYTES, 2 * _HEADER_BYTES))
    return [status.st_ino, status.st_size, status.st_mtime_ns, *starts]


def _found(columns: Columns) -> dict[str, str]:
    from store.queries.seeds import lasts

    pairs = zip(columns["run_id"], columns["seed_key"], strict=True)
    return {run_id: key for run_id, key in pairs if key is not None and lasts(key)}


def _recall(path: Path) -> Listed | None:
    """What was kept; None where nothing was, it is damaged, or another version of odyssey asked for something else."""
    try:
        head, _, content = _file(path).read_bytes().partition(b"\n")
    except OSError:
        return None
    if head != _head(content):
        return None
    kept = orjson.loads(content)
    for name, at, value in kept["odd"]:
        kept["columns"][name][at] = float(value)
    return Listed(kept["state"], kept["columns"])


def _keep(path: Path, found: Listed) -> None:
    """Keep what was found, where this process may write."""
    odd = [
        (name, at, repr(value))
        for name, column in found.columns.items()
        for at, value in enumerate(column)
        if type(value) is float and not isfinite(value)  # which JSON has no word for
    ]
    try:
        content = orjson.dumps({**found._asdict(), "odd": odd})
        write_atomic(_file(path), _head(content) + b"\n" + content)
    except (WorkspaceError, orjson.JSONEncodeError):  # read-only, or full; or half a surrogate pair in a name
        return


def _head(content: bytes) -> bytes:
    """What stands before the content: by what question it was found, and that it is whole."""
    return f"{crc32(SUMMARY_QUERY.encode()):08x} {crc32(content):08x}".encode()


def _file(path: Path) -> Path:
    return path.with_name(f"{path.name}.listed")
