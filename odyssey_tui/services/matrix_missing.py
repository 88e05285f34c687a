"""Why cells of the matrix are blank, and which rows there would be if their runs had a result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.matrix_cells import AXES, Cell, Key, tell, told_key

if TYPE_CHECKING:
    from odyssey_tui.services.matrix import Matrix, Row
    from odyssey_tui.services.matrix_source import Source
    from odyssey_tui.services.matrix_state import Planned

OTHER_DOMAINS = "evaluate: {other_domains: true}"
NOT_ASKED = f"its runs are not scored on this text: an experiment with `{OTHER_DOMAINS}` scores every domain"
NO_ZERO_SHOT = "the base state has not been scored on it"
NOT_FINITE = "the loss is not finite"
UNDONE = "done, but without this score"


@dataclass(frozen=True)
class Gap:
    """One reason and the blank cells it explains, as (row, column)."""

    reason: str
    places: tuple[tuple[str, str], ...]

    @property
    def sentence(self) -> str:
        """``6 blank cells (law × web, …): …``."""
        row, column = self.places[0]
        cells = "1 blank cell" if len(self.places) == 1 else f"{len(self.places)} blank cells"
        more = ", …" if len(self.places) > 1 else ""
        return f"{cells} ({row} × {column}{more}): {self.reason}."


def find_blank_rows(planned: Sequence[Planned], cell: Cell, freed: Sequence[str], known: Sequence[Key]) -> list[Key]:
    """Keys of rows whose runs belong to the cell and have no state in it; as far as runs without states can say."""
    there = {tell(key, freed) for key in known}
    axes = [name for name in freed if AXES[name].planned]
    if len(axes) < len(freed) and "alpha" not in freed:
        return []
    found: dict[Key, Key] = {}
    for run in planned:
        if run.state == "done" or not cell.admits(run):
            continue
        key = tuple(AXES[name].of(run) if AXES[name].planned else None for name in freed)
        if tell(key, freed) not in there:
            found.setdefault(tell(key, freed), key)
    return list(found.values())


def explain_gaps(
    matrix: Matrix, source: Source, cell: Cell, freed: Sequence[str], keys: Mapping[str, Key]
) -> tuple[Gap, ...]:
    """Every blank cell under its reason, the commonest reason first."""
    runs = runs_by_row(source, cell, freed)
    reasons: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in matrix.rows:
        own = runs.get(row_of(keys[row.label], freed), [])
        for column in matrix.columns:
            if matrix.summary(row.label, column.name) is None:
                reasons[explain(matrix, row.label, column.name, own, source)].append((row.label, column.name))
    gaps = [Gap(reason, tuple(places)) for reason, places in reasons.items()]
    return tuple(sorted(gaps, key=lambda gap: -len(gap.places)))


def runs_by_row(source: Source, cell: Cell, freed: Sequence[str]) -> dict[Key, list[Planned]]:
    """The runs of a cell by what they know of their row."""
    told = [name for name in freed if AXES[name].planned]
    runs: dict[Key, list[Planned]] = defaultdict(list)
    for run in source.planned:
        if cell.admits(run):
            runs[told_key(run, told)].append(run)
    return dict(runs)


def row_of(key: Key, freed: Sequence[str]) -> Key:
    """What runs know of a row."""
    told = [(name, value) for name, value in zip(freed, key, strict=True) if AXES[name].planned]
    return tell(tuple(value for _, value in told), [name for name, _ in told])


def tell_fewer_seeds(
    rows: Sequence[Row], keys: Mapping[str, Key], cell: Cell, freed: Sequence[str], source: Source
) -> list[str]:
    """Which rows rest on fewer seeds than others, and what has become of those that are missing."""
    most = max((row.n_seeds for row in rows), default=0)
    runs = runs_by_row(source, cell, freed)
    told = []
    for row in rows:
        if 0 < row.n_seeds < most:
            undone = [run for run in runs.get(row_of(keys[row.label], freed), []) if run.state != "done"]
            why = "; ".join(f"{run.name} is {run.state}" for run in undone[:2])
            told.append(f"{row.label}: {row.n_seeds} of {most} seeds{f' ({why})' if why else ''}.")
    return told


def explain(matrix: Matrix, row: str, column: str, runs: Sequence[Planned], source: Source) -> str:
    """Why there is nothing in one cell."""
    entry = matrix.entry(row, column)
    if entry is not None:
        scored = [score for score in entry.scores if score.loss is not None]
        return NO_ZERO_SHOT if scored else NOT_FINITE
    asked = [run for run in runs if column in source.sets.get(run.run_id, ())]
    if not asked:
        return NOT_ASKED if runs else "nothing was run"
    # What still may come is told before what went wrong.
    run = min(asked, key=lambda one: (one.state == "done", one.name))
    if run.state == "done":
        return UNDONE
    why = f": {run.reason}" if run.reason and run.state in ("failed", "lost", "held") else ""
    return f"{run.name} is {run.state}{why}"
