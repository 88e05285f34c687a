"""The scores of all stored laws as a text table, fitted to a width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import number

if TYPE_CHECKING:
    from odyssey_tui.services.fit_words import ScoreRow

NAME_WIDTH = 22


@dataclass(frozen=True)
class ScoreColumn:
    """A column of scores, right-aligned in ``width`` cells."""

    title: str
    width: int
    value: Callable[[ScoreRow], str]


COLUMNS = (
    ScoreColumn("n", 4, lambda row: str(row.n)),
    ScoreColumn("MAPE %", 7, lambda row: number(row.mape, 2)),
    ScoreColumn("slope", 7, lambda row: number(row.slope, 3)),
    ScoreColumn("fit %", 6, lambda row: number(row.training_mape, 2)),
    ScoreColumn("RMSE", 7, lambda row: number(row.rmse, 4)),
    ScoreColumn("R²", 7, lambda row: number(row.r2, 3)),
)
"""Most wanted first; the rest give way."""


def score_text(rows: Sequence[ScoreRow], role: str, width: int) -> Text:
    """One line per law, the one on screen marked; ``+K`` names the anchors a fit saw. Below, what is what."""
    kept: list[ScoreColumn] = []
    for column in COLUMNS:
        if NAME_WIDTH + 2 + sum(known.width + 1 for known in kept) + column.width + 1 <= width:
            kept.append(column)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"Held-out scores, {role} loss\n", style="bold")
    heads = " ".join(column.title.rjust(column.width) for column in kept)
    text.append(f"{'':{NAME_WIDTH + 2}} {heads}\n", style="dim")
    for row in rows:
        name = f"{row.form} +{row.anchors}" if row.anchors else row.form
        values = " ".join(column.value(row).replace("-", "−").rjust(column.width) for column in kept)
        line = f"{'▸' if row.shown else ' '} {name[:NAME_WIDTH]:<{NAME_WIDTH}} {values}\n"
        text.append(line, style="bold" if row.shown else "")
    return text.append("errors at the held-out P; fit %: at the fitted; ▸ drawn", style="dim")
