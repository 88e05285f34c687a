"""Write the reference of the database: ``python docs/data_model.py`` writes docs/data-model.md.

Tables, columns and types are those of a new database, words those of store/data_model.toml. A test compares the page.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from store.data_model import WHOLE, descriptions
from store.database import lease
from store.workspace import Workspace

PAGE = Path(__file__).with_name("data-model.md")
INTRODUCTION = """\
# The database

`odyssey.duckdb` in the workspace is one DuckDB file; `odyssey sql "SELECT …"` asks it anything. A process that has it
open for writing keeps every other process out, so no other program should keep it open. These words are also its
comments: `SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal`.

Losses are in nats per token, times in unix seconds; a name that ends in `_s` is in seconds. Tables refer to each other
by columns of one name.

*This page is written by `python docs/data_model.py` from a new database and store/data_model.toml.*
"""


def write_page() -> str:
    """The page as text."""
    asked = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
    with tempfile.TemporaryDirectory() as folder, lease(Workspace.create(Path(folder) / "w"), write=True) as con:
        types = {(table, column): kind for table, column, kind in con.execute(asked).fetchall()}
    return "\n".join([INTRODUCTION, *_sections(types)])


def _sections(types: dict[tuple[str, str], str]) -> Iterator[str]:
    for table, columns in descriptions().items():
        yield f"## {table}\n\n{columns[WHOLE]}\n\n| column | type | |\n|---|---|---|"
        yield from (f"| `{name}` | {types[table, name]} | {columns[name]} |" for name in columns if name != WHOLE)
        yield ""


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
