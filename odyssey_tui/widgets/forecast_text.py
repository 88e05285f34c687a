"""The words of the forecast screen: the law and its parameters, what the fit rests on, what it gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.fit_words import open_lines
from odyssey_tui.services.forecast_figure import title_of
from odyssey_tui.services.residuals import percent

if TYPE_CHECKING:
    from odyssey_tui.services.forecast import Forecast
    from odyssey_tui.services.residuals import ResidualRow

FEWEST_WIDE = 60
"""Columns from which on the fitted errors stand beside the held-out ones."""


def basis_text(found: Forecast) -> Text:
    """Which fit this is, and how many others there are."""
    splits = found.choices.splits
    place = next((place for place, split in enumerate(splits) if split.run_id == found.split), 0)
    text = Text(splits[place].name if splits else "", style="bold", no_wrap=True, overflow="ellipsis")
    if len(splits) > 1:
        text.append(f"  fit {place + 1} of {len(splits)}", style="not bold dim")
    return text


def law_text(found: Forecast, width: int) -> Text:
    """The formula and its parameters with their intervals."""
    text = Text(f"{title_of(found)}  ", style="bold")
    text.append(f"L = {found.formula}\n", style="not bold")
    text.append(found.source, style="not bold dim")
    for row in found.parameters:
        interval = "" if row.low is None else f"  {row.low:.4g} … {row.high:.4g}"
        line = f"{row.name:<8}{row.value:>11.4g}{interval:<26}"
        text.append(f"\n{line}"[: width + 1], style="not bold dim" if row.note == "dropped" else "not bold")
        if row.note:
            text.append(f" {row.note}", style="not bold dim")
    return text


def facts_text(found: Forecast) -> Text:
    """What the fit rests on, and what it leaves open, one parameter a line."""
    text = Text("The fit", style="bold")
    leans = [lean.sentence for lean in found.lean[:1]]
    text.append("".join(f"\n· {sentence}" for sentence in (*found.warnings, *found.facts, *leans)), style="not bold")
    head, *lines = open_lines(found.open) or ("",)
    if head:
        text.append(f"\n· {head}", style="not bold")
    return text.append("".join(f"\n{line}" for line in lines), style="not bold dim")


def residual_text(found: Forecast, width: int) -> Text:
    """The errors by axis, and what they go with."""
    text = Text("Errors, predicted / measured − 1\n", style="bold")
    for lean in found.lean:
        text.append(f"· {lean.sentence}\n", style="not bold")
    if not found.lean and found.residuals:
        text.append("· They go with none of these alone.\n", style="not bold")
    wide = width >= FEWEST_WIDE
    head = f"{'':<3}{'':>8} {'held out':>9} {'mean':>9} {'size':>8}"
    text.append(head + (f" {'fitted':>7} {'mean':>9} {'size':>8}\n" if wide else "\n"), style="not bold dim")
    before = ""
    for row in found.residual_rows:
        text.append(residual_line(row, wide=wide, first=row.axis != before), style="not bold")
        before = row.axis
    text.rstrip()
    return text


def residual_line(row: ResidualRow, *, wide: bool, first: bool) -> str:
    """One value of one axis."""

    def numbers(n: int, bias: float | None, size: float | None, room: int) -> str:
        return f" {n or '–':>{room}} {percent(bias, 2):>9} {percent(size, 2).lstrip('+'):>8}"

    line = f"{row.axis if first else '':<3}{row.value:>8.4g}"
    line += numbers(row.n_held_out, row.bias_held_out, row.size_held_out, 9)
    return line + (numbers(row.n_fit, row.bias_fit, row.size_fit, 7) if wide else "") + "\n"
