"""Runs: the list with everything a table shows, one run by identifier, and what belongs to a run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from store.errors import OdysseyError
from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class RunSummary:
    """One run as lists have it. Times are unix seconds, losses nats per token; None where there is nothing (yet)."""

    run_id: str
    name: str
    experiment: str | None
    kind: str | None
    domain: str | None
    size: str | None
    method: str | None
    replay_ratio: float | None
    ptpp: float | None
    seed: int | None
    rank_json: str | None
    """The axis values ``rank`` and ``lr``."""
    lr_json: str | None
    state: str
    reason: str
    done: float
    total: float
    phase: str
    eta_s: float | None
    train_loss: float | None
    """Newest training loss."""
    atpp: float | None
    """Largest ATPP measured on the target set."""
    target_loss: float | None
    """Loss on the target set there."""
    target_delta: float | None
    """Adapted minus zero-shot loss on the target set at the largest ATPP measured."""
    base_delta: float | None
    """The same on the base set: forgetting."""
    target_bits: float | None
    """Loss on the target set there in bits per byte, and the changes likewise."""
    target_delta_bits: float | None
    base_delta_bits: float | None
    tokenizer_id: str | None
    """Of the target set, or of the run's own states; None before there is either."""
    tags: list[str]
    pinned: bool
    n_notes: int


SUMMARY_FIELDS = tuple(field.name for field in fields(RunSummary))


@dataclass(frozen=True)
class RunRow(RunSummary):
    """One run with everything that the database has in its row."""

    labels_json: str
    attempt: int
    hint: str
    unit: str
    queued: float | None
    started: float | None
    ended: float | None
    heartbeat: float | None
    """Time of the attempt's last event: its last sign of life."""
    host: str | None
    pid: int | None
    device: str | None
    cost_flops: float | None
    valid_loss: float | None
    tokens_per_s: float | None
    flops: float | None
    """Spent so far, by count: 6·N per trained token and 2·N per evaluated one."""
    mfu: float | None
    """Share of the device's peak that training used; None where the peak is unknown."""
    memory_bytes: int | None
    """Peak."""
    step: int | None
    tokens: int | None
    n_warnings: int

    @cached_property
    def labels(self) -> dict[str, Any]:
        """All axis values of the run, by name."""
        return json.loads(self.labels_json)


_LISTED = """
WITH scored AS (
    SELECT evaluation_id, e.sum_loss / ln(2) / nullif(coalesce(e.n_bytes, s.n_bytes), 0) AS bits, s.tokenizer_id
    FROM evaluations e LEFT JOIN eval_sets s USING (eval_set_id)
), points AS (
    SELECT a.*, e.bits, e.bits - z.bits AS delta_bits, e.tokenizer_id FROM adaptation_points a
    LEFT JOIN scored e USING (evaluation_id) LEFT JOIN scored z ON z.evaluation_id = a.zero_shot_evaluation_id
), finals AS (
    SELECT run_id, max(atpp) FILTER (role = 'target') AS atpp,
        arg_max(loss, atpp) FILTER (role = 'target') AS target_loss,
        arg_max(delta, atpp) FILTER (role = 'target') AS target_delta,
        arg_max(delta, atpp) FILTER (role = 'base') AS base_delta,
        arg_max(bits, atpp) FILTER (role = 'target') AS target_bits,
        arg_max(delta_bits, atpp) FILTER (role = 'target') AS target_delta_bits,
        arg_max(delta_bits, atpp) FILTER (role = 'base') AS base_delta_bits,
        any_value(tokenizer_id) FILTER (role = 'target') AS tokenizer_id
    FROM points GROUP BY run_id
), owned AS (
    SELECT run_id, any_value(tokenizer_id) AS tokenizer_id FROM models GROUP BY run_id
), marks AS (
    SELECT run_id, event, text,
        arg_max(event, seq) OVER (PARTITION BY run_id, event IN ('tag', 'untag'), text) AS newest
    FROM notes
), noted AS (
    SELECT run_id, coalesce(list(DISTINCT text ORDER BY text) FILTER (newest = 'tag'), []) AS tags,
        coalesce(bool_or(newest = 'pin'), false) AS pinned, count(*) FILTER (event = 'note') AS n_notes
    FROM marks GROUP BY run_id
), warned AS (
    SELECT run_id, count(*) AS n_warnings FROM warnings GROUP BY run_id
), listed AS (
    SELECT r.* EXCLUDE (labels), r.labels::VARCHAR AS labels_json,
        r.labels->'rank' AS rank_json, r.labels->'lr' AS lr_json,
        f.* EXCLUDE (run_id, tokenizer_id), coalesce(f.tokenizer_id, o.tokenizer_id) AS tokenizer_id,
        coalesce(n.tags, []) AS tags, coalesce(n.pinned, false) AS pinned, coalesce(n.n_notes, 0) AS n_notes,
        coalesce(w.n_warnings, 0) AS n_warnings
    FROM runs r LEFT JOIN finals f USING (run_id) LEFT JOIN owned o USING (run_id)
    LEFT JOIN noted n USING (run_id) LEFT JOIN warned w USING (run_id)
)
"""
_ORDER = " ORDER BY coalesce(queued, started) NULLS LAST, run_id"


def _select(kind: type[RunSummary]) -> str:
    """A query of the columns that ``kind`` has; what it lacks is not computed."""
    return f"{_LISTED} SELECT {', '.join(field.name for field in fields(kind))} FROM listed"


SUMMARY_QUERY = _select(RunSummary) + _ORDER


def list_runs(con: duckdb.DuckDBPyConnection) -> list[RunRow]:
    """All runs in the order in which they were queued."""
    return fetch(con, RunRow, _select(RunRow) + _ORDER)


def list_columns(con: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """As ``list_runs``, what lists show: the fields of ``RunSummary`` by name, in each a value for every run."""
    found = con.execute(SUMMARY_QUERY).fetchall()
    columns = zip(*found, strict=True) if found else ([] for _ in SUMMARY_FIELDS)
    return dict(zip(SUMMARY_FIELDS, map(list, columns), strict=True))


def find_run(con: duckdb.DuckDBPyConnection, wanted: str) -> RunRow:
    """The run of this identifier, name, or unique beginning of an identifier; ``OdysseyError`` otherwise."""
    run_id = resolve_run(con, wanted)
    return fetch(con, RunRow, _select(RunRow) + " WHERE run_id = ?", [run_id])[0]


def find_runs(con: duckdb.DuckDBPyConnection, wanted: Sequence[str]) -> list[RunRow]:
    """As ``find_run``, for several, in the order asked for."""
    run_ids = [resolve_run(con, name) for name in wanted]
    rows = fetch(con, RunRow, _select(RunRow) + " WHERE run_id IN (SELECT unnest(?))", [run_ids])
    by_id = {row.run_id: row for row in rows}
    return [by_id[run_id] for run_id in run_ids]


def list_experiments(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Identifiers of runs by the experiment that first asked for them."""
    found = con.execute(
        "SELECT experiment, list(run_id ORDER BY run_id) FROM runs WHERE experiment IS NOT NULL "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return dict(found)


def resolve_run(con: duckdb.DuckDBPyConnection, wanted: str) -> str:
    """The one run that ``wanted`` means: an identifier, else a name, else the beginning of an identifier."""
    found = con.execute(
        "SELECT run_id, CASE WHEN run_id = $1 THEN 0 WHEN name = $1 THEN 1 ELSE 2 END AS rank FROM runs "
        "WHERE run_id = $1 OR name = $1 OR starts_with(run_id, $1) ORDER BY rank, run_id",
        [wanted],
    ).fetchall()
    best = [run_id for run_id, rank in found if rank == found[0][1]]
    if len(best) == 1:
        return best[0]
    if not best or not wanted:
        raise OdysseyError(f"no run is called {_short(wanted)!r}", _nearest_run(con, wanted))
    more = f" and {len(best) - 8} more" if len(best) > 8 else ""
    raise OdysseyError(f"{wanted!r} fits {len(best)} runs: {', '.join(best[:8])}{more}", "Give more of the identifier.")


def _nearest_run(con: duckdb.DuckDBPyConnection, wanted: str) -> str:
    names = [name for (name,) in con.execute("SELECT DISTINCT name FROM runs ORDER BY name").fetchall()]
    close = difflib.get_close_matches(_short(wanted), names, n=1)
    return f"{f'Did you mean {close[0]!r}? ' if close else ''}`odyssey runs` lists all runs."


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"


def read_spec(con: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, Any]:
    """The run's specification as it was launched."""
    found = con.execute("SELECT spec::VARCHAR FROM runs WHERE run_id = ?", [run_id]).fetchall()
    return json.loads(found[0][0]) if found else {}


def read_specs(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str] | None) -> dict[str, str]:
    """The specifications of several runs (None: all) as JSON texts, by run; runs without one are left out."""
    # Ten thousand identifiers take longer to look up than all specifications to read.
    where, parameters = ("true", []) if run_ids is None else ("run_id IN (SELECT unnest(?))", [list(run_ids)])
    query = f"SELECT run_id, spec::VARCHAR FROM runs WHERE spec IS NOT NULL AND {where}"
    return dict(con.execute(query, parameters).fetchall())


@dataclass(frozen=True)
class RunWarning:
    """Something the reader of a run's results should know; ``file`` is the journal or shard it comes from."""

    run_id: str
    attempt: int
    file: str
    t: float
    message: str


def list_warnings(con: duckdb.DuckDBPyConnection, run_id: str | None = None) -> list[RunWarning]:
    """Warnings of a run, or of all, oldest first."""
    return fetch(
        con,
        RunWarning,
        "SELECT run_id, attempt, file, t, message FROM warnings WHERE $1 IS NULL OR run_id = $1 ORDER BY t",
        [run_id],
    )


@dataclass(frozen=True)
class Note:
    """A note somebody wrote on a run."""

    run_id: str
    t: float
    text: str


def list_notes(con: duckdb.DuckDBPyConnection, run_id: str) -> list[Note]:
    """Notes on a run, oldest first."""
    return fetch(
        con, Note, "SELECT run_id, t, text FROM notes WHERE event = 'note' AND run_id = ? ORDER BY seq", [run_id]
    )


@dataclass(frozen=True)
class ModelState:
    """A model the workspace knows: a base model, or a state of a run (``parent`` is what it was trained from)."""

    model_id: str
    run_id: str | None
    source: str | None
    path: str | None
    n_params: int | None
    tokens_seen: int | None
    ptpp: float | None
    parent: str | None
    atpp: float | None
    adapt_tokens: int | None
    annealed: bool | None


def trace_lineage(con: duckdb.DuckDBPyConnection, model_id: str) -> list[ModelState]:
    """The model and its ancestors, the oldest first."""
    return fetch(
        con,
        ModelState,
        """
        WITH RECURSIVE line AS (
            SELECT *, 0 AS depth FROM models WHERE model_id = ?
            UNION ALL
            SELECT m.*, l.depth + 1 FROM models m JOIN line l ON m.model_id = l.parent WHERE l.depth < 50
        )
        SELECT * FROM line ORDER BY depth DESC
        """,
        [model_id],
    )


def list_states(con: duckdb.DuckDBPyConnection, run_id: str) -> list[str]:
    """Models that the run has saved, in the order of what they have seen."""
    found = con.execute(
        "SELECT model_id FROM models WHERE run_id = ? ORDER BY coalesce(adapt_tokens, tokens_seen), model_id", [run_id]
    ).fetchall()
    return [model_id for (model_id,) in found]


def list_heirs(con: duckdb.DuckDBPyConnection, run_id: str) -> list[str]:
    """Names of the other runs whose models were trained from a state of this one."""
    found = con.execute(
        """
        SELECT DISTINCT r.name FROM models p JOIN models c ON c.parent = p.model_id JOIN runs r ON r.run_id = c.run_id
        WHERE p.run_id = $1 AND c.run_id <> $1 ORDER BY r.name
        """,
        [run_id],
    ).fetchall()
    return [name for (name,) in found]


@dataclass(frozen=True)
class Mixture:
    """What a run's training text was made of, up to its last report."""

    run_id: str
    replay_requested: float | None
    replay_realised: float | None
    sequences: int | None
    target_tokens: int | None
    replay_tokens: int | None
    target_epochs: float | None
    replay_epochs: float | None


def find_mixture(con: duckdb.DuckDBPyConnection, run_id: str) -> Mixture | None:
    """The newest mixture a run reported; None when it mixes nothing or has not said."""
    found = fetch(
        con, Mixture, "SELECT * FROM mixtures WHERE run_id = ? ORDER BY attempt DESC, seq DESC LIMIT 1", [run_id]
    )
    return found[0] if found else None
