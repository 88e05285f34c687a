"""``odyssey store export``: what the database holds as files, whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from odyssey_tui.cli.main import run
from store.database import lease
from store.exchange import export as exporting
from store.exchange import token_export
from store.workspace import Workspace


def export(workspace: Workspace, *arguments: str | Path) -> int:
    return run(["-w", str(workspace.root), "store", "export", *map(str, arguments)])


def test_every_table_with_all_its_rows(fitted: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(fitted, "--to", tmp_path / "out", "--json") == 0
    told = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    with lease(fitted) as con:
        tables = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        counts = {name: con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables}
        lengths = con.execute("SELECT sum(len(losses)) FROM token_losses").fetchall()[0][0]
    assert told.keys() == counts.keys()
    for name, row in told.items():
        file = Path(row["file"])
        expected = lengths if name == "token_losses" else counts[name]
        assert pq.read_metadata(file).num_rows == row["rows"] == expected
        assert file.stat().st_size == row["n_bytes"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.parquet" for name in counts}


def test_losses_of_tokens_are_a_long_table_that_sums_to_the_evaluations(
    fitted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert export(fitted, "token_losses", "--to", tmp_path / "whole.parquet") == 0
    monkeypatch.setattr(token_export, "BLOCKS", 3)
    assert export(fitted, "token_losses", "--to", tmp_path / "pieces.parquet") == 0
    long = pq.read_table(tmp_path / "whole.parquet")
    assert pq.read_table(tmp_path / "pieces.parquet").equals(long)
    sums = long.group_by("evaluation_id").aggregate([("loss", "sum"), ("loss", "count")]).to_pylist()
    with lease(fitted) as con:
        stored = con.execute(
            "SELECT evaluation_id, sum_loss, predicted FROM evaluations "
            "WHERE evaluation_id IN (SELECT evaluation_id FROM token_losses)"
        ).fetchall()
    found = {row["evaluation_id"]: (row["loss_sum"], row["loss_count"]) for row in sums}
    assert found.keys() == {row[0] for row in stored}
    for evaluation_id, total, predicted in stored:
        assert found[evaluation_id][1] == predicted
        # Losses are kept in steps of 0.001.
        assert found[evaluation_id][0] == pytest.approx(total, abs=0.0005 * predicted + 1e-6)
    assert pc.max(long["position"]).as_py() <= 1023
    assert long["token"].null_count == long["document"].null_count == 0
    assert long.column_names[:4] == ["evaluation_id", "eval_set_id", "block", "position"]


def test_queries_and_views_in_either_format(fitted: Workspace, tmp_path: Path) -> None:
    query = "SELECT kind, count(*) AS n FROM runs GROUP BY kind ORDER BY kind -- and no more"
    assert export(fitted, query, "--to", tmp_path / "kinds.csv") == 0
    with lease(fitted) as con:
        expected = [[kind, str(n)] for kind, n in con.execute(query).fetchall()]
    assert list(csv.reader((tmp_path / "kinds.csv").open()))[1:] == expected
    assert export(fitted, "adaptation_points", query, "--to", tmp_path / "d", "--format", "csv") == 0
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["adaptation_points.csv", "query-1.csv"]
    assert (tmp_path / "d" / "query-1.csv").read_text() == (tmp_path / "kinds.csv").read_text()


def test_nothing_is_overwritten_unless_told(
    fitted: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "runs.csv"
    target.write_text("mine")
    assert export(fitted, "runs", "--to", target) == 2
    assert "is there already" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert export(fitted, "runs", "--to", target, "--force") == 0
    assert target.read_text().startswith("run_id,")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["ruons", "--to", "x.csv"], 2, "Did you mean 'runs'?"),
        (["--to", "x.csv"], 2, "is one file"),
        (["runs", "fits", "--to", "x.csv"], 2, "is one file"),
        (["runs", "--to", "x.csv", "--format", "parquet"], 2, "does not end in .parquet"),
        (["selec 1", "--to", "x.csv"], 4, "syntax error"),
        (["DELETE FROM runs", "--to", "x.csv"], 4, ""),
        (["SELECT 1 AS one; SELECT 2", "--to", "x.csv"], 4, ""),
    ],
)
def test_what_cannot_be_exported_is_told_and_leaves_no_file(
    fitted: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(fitted, *arguments) == status
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_the_old_file(
    fitted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "t.parquet"
    target.write_bytes(b"old")

    def stop(workspace: Workspace, path: Path, form: str) -> int:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_token_losses", stop)
    assert export(fitted, "token_losses", "--to", target, "--force") == 3
    assert "No space left" in capsys.readouterr().err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    assert export(fitted, "runs", "--to", "/proc/none/x.csv") == 3
