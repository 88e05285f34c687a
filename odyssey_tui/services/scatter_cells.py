"""Which adapted states may stand in one scatter: the same size, budget, replay and method, one mean per domain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.queries.points import AdaptationPoint

DIGITS = 3
"""PTPP and ATPP are compared to this many digits: whole sequences make budgets differ in the fourth."""


@dataclass(frozen=True)
class Cell:
    """What the points of one scatter have in common; None where it is unknown (PTPP of a published model)."""

    method: str | None
    size: str | None
    n_params: int | None
    ptpp: float | None
    replay_ratio: float | None
    atpp: float

    @property
    def text(self) -> str:
        """``size s, PTPP 16, replay .1, ATPP 4, full``."""
        parts = [
            f"size {self.size}" if self.size else f"{self.n_params:,} parameters" if self.n_params else "",
            f"PTPP {self.ptpp:g}" if self.ptpp is not None else "",
            f"replay {self.replay_ratio:g}" if self.replay_ratio is not None else "",
            f"ATPP {self.atpp:g}",
            self.method or "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Wanted:
    """What the user asks of the cell; None leaves the choice open."""

    size: str | None = None
    ptpp: float | None = None
    method: str | None = "full"
    replay_ratio: float | None = None
    atpp: float | None = None

    def admits(self, cell: Cell) -> bool:
        """Whether a cell has every property asked for."""
        budgets = ((self.ptpp, cell.ptpp), (self.atpp, cell.atpp))
        others = ((self.size, cell.size), (self.method, cell.method), (self.replay_ratio, cell.replay_ratio))
        same_budgets = all(w is None or (has is not None and rounded(w) == has) for w, has in budgets)
        return same_budgets and all(w is None or w == has for w, has in others)


def rounded(value: float) -> float:
    """A budget to ``DIGITS`` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def cell_of(point: AdaptationPoint) -> Cell:
    """The cell an adapted state belongs to."""
    ptpp = None if point.ptpp is None else rounded(point.ptpp)
    return Cell(point.method, point.size, point.n_params, ptpp, point.replay_ratio, rounded(point.atpp))


def group_by_cell(points: Iterable[AdaptationPoint]) -> dict[Cell, list[AdaptationPoint]]:
    """The points of every cell."""
    cells: dict[Cell, list[AdaptationPoint]] = defaultdict(list)
    for point in points:
        cells[cell_of(point)].append(point)
    return dict(cells)


def choose_cell(cells: dict[Cell, list[AdaptationPoint]], domains: Sequence[str], wanted: Wanted) -> Cell | None:
    """The admitted cell that holds the most of ``domains``.

    Ties go to more adaptation, then the larger model, then more pretraining, then less replay, then full fine-tuning.
    """
    known = set(domains)

    def rank(cell: Cell) -> tuple[float, ...]:
        covered = len({point.domain for point in cells[cell]} & known)
        less_replay = -(cell.replay_ratio or 0.0)
        return (covered, cell.atpp, cell.n_params or 0, cell.ptpp or 0.0, less_replay, cell.method == "full")

    admitted = [cell for cell in cells if wanted.admits(cell)]
    return max(admitted, key=rank, default=None)
