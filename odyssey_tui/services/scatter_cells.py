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

    method: str
    size: str | None
    n_params: int
    ptpp: float | None
    replay_ratio: float
    atpp: float | None

    @property
    def text(self) -> str:
        """``size s, PTPP 16, replay .1, ATPP 4, full``."""
        parts = [
            f"size {self.size}" if self.size else f"{self.n_params:,} parameters",
            f"PTPP {self.ptpp:g}" if self.ptpp is not None else "",
            f"replay {self.replay_ratio:g}",
            f"ATPP {self.atpp:g}" if self.atpp is not None else "",
            self.method,
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
        wanted = (self.size, rounded(self.ptpp), self.method, self.replay_ratio, rounded(self.atpp))
        has = (cell.size, cell.ptpp, cell.method, cell.replay_ratio, cell.atpp)
        return all(w is None or w == h for w, h in zip(wanted, has, strict=True))


def rounded(value: float | None) -> float | None:
    """A budget to ``DIGITS`` significant digits."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


def cell_of(point: AdaptationPoint) -> Cell:
    """The cell an adapted state belongs to."""
    return Cell(point.method, point.size, point.n_params, rounded(point.ptpp), point.replay_ratio, rounded(point.atpp))


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
        return (covered, cell.atpp or 0.0, cell.n_params, cell.ptpp or 0.0, -cell.replay_ratio, cell.method == "full")

    admitted = [cell for cell in cells if wanted.admits(cell)]
    return max(admitted, key=rank, default=None)
