"""The runs of a plan as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import count, cut, duration, state_text
from odyssey_tui.widgets.table_cells import TableColumn, TableRow

if TYPE_CHECKING:
    from odyssey_tui.services.composition import PlannedRun

FURTHER = (
    TableColumn("time", "   time ≈", 9),
    TableColumn("memory", " memory ≈", 9),
    TableColumn("at", "at", 12),
    TableColumn("replay", "replay", 6),
    TableColumn("epochs", "epochs ≤", 8),
    TableColumn("steps", "    steps", 9),
)
"""Shown where they fit, the first ones first."""
LEAST_NAME, READABLE_NAME = 14, 24


def planned_columns(runs: Sequence[PlannedRun], width: int) -> list[TableColumn]:
    """As many columns as fit ``width``; names are cut before columns are left out."""
    columns = [
        TableColumn("state", "state", 11),
        TableColumn("name", "run", LEAST_NAME),
        TableColumn("tokens", "tokens", 7),
        TableColumn("flops", " FLOPs", 7),
    ]
    longest = max((len(run.name) for run in runs), default=LEAST_NAME)
    named = min(longest, READABLE_NAME) - LEAST_NAME
    for column in FURTHER:
        if sum(one.width + 1 for one in (*columns, column)) + named <= width - 1:
            columns.append(column)
    room = width - 1 - sum(column.width + 1 for column in columns)
    name_width = max(6, min(longest, LEAST_NAME + room))
    return [TableColumn("name", "run", name_width) if column.key == "name" else column for column in columns]


def planned_row(run: PlannedRun, columns: Sequence[TableColumn]) -> TableRow:
    """A run of the plan; those that exist are dim."""
    new, mixture = run.state == "new", run.mixture
    texts = {
        "state": "+ new" if new else state_text(run.state),
        "name": run.name,
        "at": ", ".join(f"{budget:g}" for budget in run.budgets),
        "tokens": (count(run.tokens) if run.tokens else "").rjust(7),
        "flops": (count(run.flops) if run.flops else "").rjust(7),
        "memory": (count(run.memory_bytes) if run.memory_bytes else "").rjust(9),
        "time": (duration(run.seconds) if run.seconds and run.starts else "").rjust(9),
        "replay": f"{mixture.realised:.4f}" if mixture is not None and run.kind == "adapt" else "",
        "epochs": (f"{mixture.most[1]:.3g}" if mixture is not None and mixture.most else "").rjust(8),
        "steps": (count(run.steps) if run.steps else "").rjust(9),
    }
    return TableRow(
        run.run_id, tuple(Text(cut(texts[column.key], column.width), "" if new else "dim") for column in columns)
    )
