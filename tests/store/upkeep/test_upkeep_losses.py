"""How much room the database's file wastes: what `odyssey store gc` promises to give back."""

from __future__ import annotations

from pathlib import Path

import duckdb

from store.upkeep.losses import unused_bytes


def test_room_that_was_cut_off_the_end_of_the_file_is_not_unused(tmp_path: Path) -> None:
    path = tmp_path / "some.duckdb"
    with duckdb.connect(str(path)) as con:
        for table in ("first", "last"):
            con.execute(f"CREATE TABLE {table} AS SELECT random() AS value FROM range(400_000)")
            con.execute("CHECKPOINT")
    whole = path.stat().st_size
    with duckdb.connect(str(path)) as con:
        con.execute("DROP TABLE last")
        con.execute("CHECKPOINT")
    assert path.stat().st_size < 0.7 * whole
    with duckdb.connect(str(path), read_only=True) as con:
        assert unused_bytes(con) < 0.1 * path.stat().st_size


def test_room_in_the_middle_of_the_file_is_unused(tmp_path: Path) -> None:
    path = tmp_path / "some.duckdb"
    with duckdb.connect(str(path)) as con:
        for table in ("first", "last"):
            con.execute(f"CREATE TABLE {table} AS SELECT random() AS value FROM range(400_000)")
            con.execute("CHECKPOINT")
        before = unused_bytes(con)
        con.execute("DROP TABLE first")
        con.execute("CHECKPOINT")
        assert unused_bytes(con) - before > 0.3 * path.stat().st_size
