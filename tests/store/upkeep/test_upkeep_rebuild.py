"""A database made anew has every row of the old one, wherever that can be found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from store import schema
from store.database import lease, open_file
from store.ingest import has_news, ingest
from store.upkeep.check import run_checks
from store.upkeep.rebuild import rebuild
from store.upkeep.swap import compact
from store.upkeep.tables import count_rows
from store.workspace import Workspace
from tests.support.dying import die_at
from tests.support.synthetic import find_run_dir

pytestmark = pytest.mark.slow


def rows_of(workspace: Workspace) -> dict[str, int]:
    with lease(workspace) as con:
        return count_rows(con)


def problems(workspace: Workspace) -> list[str]:
    found = run_checks(workspace, deep=True)
    return [finding.what for _, findings in found for finding in findings if finding.severity == "problem"]


def test_a_sound_database_is_rebuilt_row_for_row(workspace: Workspace) -> None:
    before = rows_of(workspace)
    with lease(workspace) as con:
        losses = con.execute("SELECT * EXCLUDE (run_id) FROM token_losses ORDER BY ALL").fetchall()
    made = rebuild(workspace)
    assert rows_of(workspace) == before
    with lease(workspace) as con:
        assert con.execute("SELECT * EXCLUDE (run_id) FROM token_losses ORDER BY ALL").fetchall() == losses
    assert not made.without_losses
    assert not made.damaged
    assert made.replaced.exists()
    assert not has_news(workspace)
    assert ingest(workspace).events == 0
    assert problems(workspace) == []


def test_a_copy_of_a_run_counts_nothing_twice(workspace: Workspace) -> None:
    before, original = rows_of(workspace), find_run_dir(workspace, "adapt-docs-r0.25-p45-xs")
    shutil.copytree(original.path, original.path.with_name("copy"))
    rebuild(workspace)
    assert rows_of(workspace) == before
    assert "copy" not in workspace.run_ids()
    (told,) = problems(workspace)
    assert f"is a copy of the run {original.run_id}" in told


def test_a_lost_database_says_which_losses_are_gone_and_takes_them_from_a_copy(workspace: Workspace) -> None:
    before = rows_of(workspace)
    copy = workspace.root / "copy.duckdb"
    shutil.move(workspace.database_path, copy)
    made = rebuild(workspace)
    assert len(made.without_losses) == before["evaluations"]
    assert rows_of(workspace)["evaluations"] == before["evaluations"]
    assert any("have no losses of single tokens" in what for what in problems(workspace))
    made = rebuild(workspace, [copy])
    assert not made.without_losses
    after = rows_of(workspace)
    assert {table: after[table] for table in before if table != "ingested_shards"} == {
        table: rows for table, rows in before.items() if table != "ingested_shards"
    }
    assert problems(workspace) == []


def test_a_damaged_table_costs_that_table_alone(workspace: Workspace) -> None:
    with lease(workspace, write=True) as con:
        con.execute("CHECKPOINT")
        (block,) = con.execute(
            "SELECT min(block_id) FROM pragma_storage_info('token_losses') WHERE segment_type <> 'VALIDITY' "
            "AND block_id > 0"
        ).fetchall()[0]
    before = rows_of(workspace)
    copy = workspace.root / "copy.duckdb"
    shutil.copy(workspace.database_path, copy)
    with open(workspace.database_path, "r+b") as file:
        # DuckDB's header is three pages of 4 KiB, blocks of 256 KiB follow.
        file.seek(3 * 4096 + block * 262_144 + 100)
        file.write(os.urandom(262_000))
    told = [what for what in problems(workspace) if "damaged" in what or "checksum" in what]
    assert told
    assert len(told) == len(set(told)), "one broken block stops several checks, and is told once"
    made = rebuild(workspace)
    assert "token_losses" in made.damaged
    assert rows_of(workspace)["metrics"] == before["metrics"]
    made = rebuild(workspace, [copy])
    assert not made.without_losses
    assert rows_of(workspace)["token_losses"] == before["token_losses"]
    assert problems(workspace) == []


def test_runs_that_only_the_database_knows_stay(workspace: Workspace) -> None:
    before = rows_of(workspace)
    shutil.rmtree(find_run_dir(workspace, "adapt-docs-r0.25-p45-xs").path)
    journal = find_run_dir(workspace, "pretrain-xs").attempt(1).events
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:10]))
    rebuild(workspace)
    after = rows_of(workspace)
    assert {table: after[table] for table in before if table != "warnings"} == {
        table: rows for table, rows in before.items() if table != "warnings"
    }
    what = problems(workspace)
    assert any("have lost their directories" in sentence for sentence in what)
    assert any("lack events that the database has read" in sentence for sentence in what)


def test_rows_that_stand_twice_are_told_and_dropped(workspace: Workspace) -> None:
    before = rows_of(workspace)
    with lease(workspace, write=True) as con:
        con.execute("INSERT INTO token_losses SELECT * FROM token_losses LIMIT 5")
    assert any("stand more than once" in what for what in problems(workspace))
    assert rebuild(workspace).doubled == {"token_losses": 5}
    assert rows_of(workspace) == before


@pytest.mark.parametrize(
    "place", ["store.upkeep.rebuild:replace_database", "store.upkeep.swap:put_in_place", "store.survey:remember"]
)
def test_a_kill_leaves_the_old_database_or_the_new_one(workspace: Workspace, place: str) -> None:
    before = rows_of(workspace)
    body = (
        "from store.workspace import Workspace\nfrom store.upkeep.rebuild import rebuild\n"
        f"rebuild(Workspace.open({str(workspace.root)!r}))"
    )
    assert die_at(place, body)
    ingest(workspace)
    assert rows_of(workspace) == before
    assert problems(workspace) == []


@pytest.mark.parametrize("limit", [100_000, 1_000_000, 3_000_000])
def test_without_room_the_old_database_stays(workspace: Workspace, limit: int) -> None:
    """A limit on the size of files stands for the full disk; what cannot be written is not taken for damaged."""
    before, files = rows_of(workspace), sorted(os.listdir(workspace.root))
    script = (
        "import resource, signal\nfrom store.workspace import Workspace\nfrom store.upkeep.rebuild import rebuild\n"
        "from store.upkeep.swap import compact\nfrom store.errors import OdysseyError\n"
        f"signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nws = Workspace.open({str(workspace.root)!r})\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "for act in (rebuild, compact):\n"
        "    try: act(ws)\n"
        "    except OdysseyError as error: print('refused:', error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.count("refused:") == 2, done.stderr
    assert sorted(os.listdir(workspace.root)) == files
    assert rows_of(workspace) == before


def test_an_older_database_is_upgraded_before_it_is_read(workspace: Workspace, tmp_path: Path) -> None:
    """A backup of version 1, made from its SQL: what it holds comes along."""
    old = tmp_path / "old.duckdb"
    with open_file(old, write=True) as con:
        schema.migrate(con, schema.migrations()[:1])
        con.execute("INSERT INTO vocabulary VALUES ('another', 7, 'x', 'word')")
    with lease(workspace, write=True) as con:
        con.execute("INSERT INTO tokenizers VALUES ('another', 1, 'here')")
    rebuild(workspace, [old])
    with lease(workspace) as con:
        assert con.execute("SELECT token_id FROM vocabulary WHERE tokenizer_id = 'another'").fetchall() == [(7,)]


def test_compacting_returns_the_room_of_deleted_rows(workspace: Workspace) -> None:
    with lease(workspace, write=True) as con:
        con.execute("CREATE TABLE heap AS SELECT random() AS x FROM range(2_000_000)")
    with lease(workspace, write=True) as con:
        con.execute("DROP TABLE heap")
    rows = rows_of(workspace)
    before, after = compact(workspace)
    assert after < before - 8_000_000
    assert rows_of(workspace) == rows
    assert problems(workspace) == []


def test_texts_come_out_of_the_cache(workspace: Workspace) -> None:
    with lease(workspace) as con:
        tables = {table: con.sql(f"SELECT * FROM {table}").to_arrow_table() for table in ("eval_tokens", "documents")}
        sets = [name for (name,) in con.execute("SELECT eval_set_id FROM eval_sets").fetchall()]
    for name in sets:
        folder = workspace.cache / "eval_sets" / name
        folder.mkdir(parents=True)
        for table, file in (("eval_tokens", "eval_set.parquet"), ("documents", "documents.parquet")):
            own = tables[table].filter(pc.equal(tables[table]["eval_set_id"], name))
            pq.write_table(own, folder / file)
    workspace.database_path.unlink()
    made = rebuild(workspace)
    assert made.refilled == {table: rows.num_rows for table, rows in tables.items()}
    with lease(workspace) as con:
        again = con.execute("SELECT * FROM eval_tokens ORDER BY eval_set_id, block").fetchall()
    assert again == [
        tuple(row.values())
        for row in tables["eval_tokens"].sort_by([("eval_set_id", "ascending"), ("block", "ascending")]).to_pylist()
    ]
