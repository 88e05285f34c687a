"""The data model is documented whole: every table and column has words, in the database and on the page."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from store.data_model import descriptions
from store.database import lease
from store.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def test_every_table_and_column_is_described_and_nothing_else(tmp_path: Path) -> None:
    with lease(Workspace.create(tmp_path / "w"), write=True) as con:
        columns = con.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        wholes = con.execute(
            "SELECT table_name, comment FROM duckdb_tables() WHERE NOT internal "
            "UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
    stored: dict[str, dict[str, str]] = {table: {"_": words} for table, words in wholes}
    for table, column, words in columns:
        stored[table][column] = words
    assert stored == descriptions()


def test_the_page_is_what_would_be_written() -> None:
    spec = importlib.util.spec_from_file_location("data_model_page", ROOT / "docs" / "data_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.write_page(), "run `python docs/data_model.py`"
