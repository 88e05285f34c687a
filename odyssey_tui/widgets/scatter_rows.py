"""Rows and words of the similarity screen, from a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.plots.palette import color_of
from odyssey_tui.services.format import number, signed
from odyssey_tui.services.scatter_statistics import CONTROLS
from odyssey_tui.services.scatter_views import significant
from odyssey_tui.services.similarity_figure import choose_styles, style_key
from odyssey_tui.widgets.table_cells import TableColumn, TableRow, right

if TYPE_CHECKING:
    from odyssey_tui.services.scatter import Scatter

NAME_WIDTH = (8, 16)
MODEL_WIDTH = 14
STATISTICS_NAME = 17


def domain_table(found: Scatter, *, grouped: bool, dark: bool) -> tuple[tuple[TableColumn, ...], list[TableRow]]:
    """Columns and one row per point; where classes are told apart a point's marker stands before its name."""
    unit, several = found.unit, len(found.shown) > 1
    marked = several or (grouped and bool(found.groups))
    styles = choose_styles(found, grouped=grouped)
    names = [point.domain for point in found.points]
    width = min(max([NAME_WIDTH[0], *map(len, names)]), NAME_WIDTH[1]) + 2 * marked
    model_width = min(max([5, *(len(model.name) for model in found.shown)]), MODEL_WIDTH)
    digits = 2 if unit.name != "bits" else 3
    columns = (
        TableColumn("domain", "domain", width),
        *((TableColumn("model", "model", model_width),) if several else ()),
        TableColumn("value", "   value", 8),
        TableColumn("change", unit.change.rjust(9), 9),
        *(
            ()
            if several
            else (TableColumn("before", unit.before.rjust(6), 6), TableColumn("after", unit.after.rjust(6), 6))
        ),
        TableColumn("without", "r without", 9),
    )
    rows = []
    for point in found.points:
        name = Text(no_wrap=True)
        if marked:
            style = styles[style_key(point, several, grouped)]
            red, green, blue = color_of(style.color, dark=dark)
            name.append(f"{style.marker} ", style=f"rgb({red},{green},{blue})")
        name.append(point.domain)
        name.truncate(width, overflow="ellipsis")
        model = Text(point.model, no_wrap=True)
        model.truncate(model_width, overflow="ellipsis")
        before, after = number(point.before, digits), number(point.after, digits)
        cells = (
            name,
            *((model,) if several else ()),
            right(significant(point.value), 8),
            right(unit.show(point.change), 9, "bold" if point.delta > 0 else ""),
            *(() if several else (right(before[:6], 6), right(after[:6], 6))),
            right(signed(point.r_without, 2), 9),
        )
        rows.append(TableRow(point.key, cells))
    return columns, rows


def basis_text(found: Scatter, *, grouped: bool) -> str:
    """What the finding rests on, and the warnings that belong to it."""
    if not found.points:
        return ""
    sample = f", {found.n_samples} samples a domain" if found.n_samples else ""
    parts = [
        found.within if grouped else "",
        found.influence,
        *found.notes,
        found.common,
        f"against {found.reference}{sample}",
        *found.missing,
    ]
    return " · ".join(part.rstrip(".") for part in parts if part)


def agreement_text(found: Scatter) -> Text:
    """One line per measure, the one on screen marked: whether they tell the same story."""
    if len(found.agreement) < 2:
        return Text("")
    text = Text("By measure", style="bold")
    for item, line in zip(found.agreement, found.by_measure, strict=True):
        text.append(f"\n{line}", style="bold" if item.view == found.view else "not bold")
    return text


def statistics_text(found: Scatter, width: int) -> Text:
    """Every finding but the main one in lines of ``width``, then the measures, then what controls are."""
    text = Text("Statistics", style="bold")
    others = [finding for finding in found.findings if finding.key != "all"]
    for finding in others:
        said = finding.sentence.split("; ")
        beside = STATISTICS_NAME + max(map(len, said)) <= width and len(finding.name) <= STATISTICS_NAME - 2
        text.append(f"\n{finding.name.ljust(STATISTICS_NAME) if beside else finding.name}", style="not bold")
        indent = "\n" + " " * (STATISTICS_NAME if beside else 2)
        text.append("" if beside else indent)
        text.append(indent.join(said), style="not bold")
    if found.groups:
        text.append(f"\ngroups: {found.group_origin}", style="not bold dim")
    controls = [f"{name}: {meaning}" for name, meaning in CONTROLS.items()]
    text.append("".join(f"\n{line}" for line in (*controls, *found.notes, *found.missing)), style="not bold dim")
    by_measure = agreement_text(found)
    return Text.assemble(text, "\n\n", by_measure) if by_measure.plain else text
