"""The columns of the table of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.audit import GLYPHS
from odyssey_tui.services.figure_export import Exportable
from odyssey_tui.services.format import count, number
from odyssey_tui.services.ledger import CLASSES
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from odyssey_tui.services.data import TextRow


def audit_mark(level: str) -> str:
    """``✗ serious``, ``✓ ok``; ``–`` where there is none."""
    return "–" if level == "none" else f"{GLYPHS.get(level, GLYPHS[''])} {level}"


COLUMNS = (
    Column("kind", "kind"),
    Column("title", "name"),
    Column("audit", "audit", audit_mark),
    Column("tokens", "tokens", count),
    Column("bytes", "bytes", count, drop=3),
    Column("documents", "docs", ",", drop=4),
    Column("newline", "line ends", lambda value: number(value, 2), drop=1),
    Column("newlines", "newlines", drop=5),
    Column("similarity", "similarity", lambda value: number(value, 3), drop=2),
    Column("experiment", "experiments", drop=6),
    Column("source", "source", drop=7),
    Column("duplicates", "left out", ",", drop=8),
)
HIDDEN = (
    *(Column(f"{split}_bytes") for split in ("train", "valid", "test")),
    *(Column(name) for name in ("name", "warnings", "measure", "tokenizer", "key")),
    *(Column(f"share_{name}") for name in CLASSES),
)
"""In CSV alone; shares are those of the classes among the tokens."""


def flatten(rows: Sequence[TextRow]) -> list[dict[str, Any]]:
    """Rows with the classes' shares as columns of their own."""
    records = [row.record() for row in rows]
    return [{**row, **{f"share_{name}": share for name, share in row["classes"].items()}} for row in records]


def exportable(rows: Sequence[TextRow]) -> Exportable:
    """The table as files."""
    return Exportable(
        "texts",
        columns=[*COLUMNS, *HIDDEN],
        rows=flatten(rows),
        record=[row.record() for row in rows],
        wide=(COLUMNS, flatten(rows)),
    )
