"""``odyssey matrix``: what adaptation to each domain did to the loss on every text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.numbers import Number
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped, say_wrapped, terminal_width
from odyssey_tui.services.matrix_cells import ROWS
from odyssey_tui.services.matrix_export import SPREADS, Spread
from odyssey_tui.services.matrix_order import ORDERS
from odyssey_tui.services.matrix_values import VALUES
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from odyssey_tui.services.matrix import Matrix
    from odyssey_tui.services.matrix_export import Intervals

GAP = 2
LONGEST_LABEL = 36
EVERY_SET = "set"


@click.command()
@click.argument("experiment", required=False)
@click.option("--rows", "rows_by", default="domain", show_default=True, help=f"{', '.join(ROWS)}.")
@click.option("--value", help=f"{', '.join(VALUES)}; default: delta, with several tokenizers delta-bits.")
@click.option("--columns", default=EVERY_SET, show_default=True, help="Every set, or names of sets with commas.")
@click.option("--where", default="", help="Only states that pass, like 'size=s and ptpp=16 and method=full'.")
@click.option("--size", help="Only this model size.")
@click.option("--ptpp", type=Number(), help="Only base states of this PTPP.")
@click.option("--method", help="Only this method: full, lora, ...")
@click.option("--replay", type=Number(0, 1), help="Only this replay ratio.")
@click.option("--atpp", type=Number(), help="Only this ATPP.")
@click.option("--variant", help="Only this variant; 'plain' for runs without one.")
@click.option("--cell", "number", default=1, show_default=True, type=click.IntRange(1), help="Which of the cells.")
@click.option("--order", type=click.Choice(ORDERS), default="name", show_default=True, help="Of rows and columns.")
@click.option("--spread", type=click.Choice(SPREADS), default="sd", show_default=True, help="Beside means over seeds.")
@click.option("--intervals", is_flag=True, help="Bootstrap ΔL of every cell over documents; seeds held fixed.")
@click.option("--svg", type=click.Path(path_type=Path), help="Also write the heat map to this file.")
@table_options
@click.pass_obj
def matrix(
    invocation: Invocation,
    experiment: str | None,
    rows_by: str,
    value: str | None,
    columns: str,
    where: str,
    number: int,
    order: str,
    spread: Spread,
    intervals: bool,
    svg: Path | None,
    json: bool,
    csv: bool,
    latex: bool,
    **asked: Any,
) -> None:
    """Show adapted × evaluated: rows are what models were adapted to, columns the texts they were scored on.

    All of it is of one cell of conditions (size, PTPP, method, learning rate, replay, variant, budget): the one that
    fills most of the matrix of those there are, or --cell 2, 3, ... Values are means over seeds; [ ] marks the domain
    that was adapted to. Other domains are scored where the experiment says evaluate: {other_domains: true}.
    """
    from odyssey_tui.services.matrix import assemble
    from odyssey_tui.services.matrix_source import narrow, parse_where, read_source

    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    workspace = invocation.open()
    source = narrow(read_source(workspace, experiment, parse_where(where)), **asked)
    names = [] if columns == EVERY_SET else [name.strip() for name in columns.split(",") if name.strip()]
    choose = {"rows_by": rows_by, "value": value, "columns": names, "order": order}
    found = assemble(source, **choose)
    if number > 1:
        if number > len(found.choices):
            there = "there is 1 cell" if len(found.choices) == 1 else f"there are {len(found.choices)} cells"
            raise ConfigError(f"--cell {number}: {there}", "They are counted from 1.")
        found = assemble(source, cell=found.choices[number - 1].cell, **choose)
    if order not in (found.order, "name") and found.rows:
        raise ConfigError(
            f"--order {order}: no similarity of these rows is known", "Orders: " + ", ".join(found.orders)
        )
    bounds = read_bounds(found, invocation) if intervals else None
    if svg is not None:
        if not found.rows:
            raise DataError(found.reason, found.hint)
        save(found, experiment, svg)
    emit(found, spread, bounds, json=json, csv=csv, latex=latex)


def read_bounds(found: Matrix, invocation: Invocation) -> Intervals:
    """The document-bootstrap intervals of every cell; they are of ΔL."""
    from odyssey_tui.services.matrix_source import read_intervals

    if found.value.name != "delta":
        raise ConfigError("--intervals are of ΔL", "Use --value delta with them.")
    places = [
        (row.label, column.name)
        for row in found.rows
        for column in found.columns
        if found.summary(row.label, column.name) is not None
    ]
    read = read_intervals(invocation.open(), [found.entry(*place).scores for place in places])  # type: ignore[union-attr]
    return dict(zip(places, read, strict=True))


def save(found: Matrix, experiment: str | None, target: Path) -> None:
    """Write the heat map."""
    from odyssey_tui.services.figure_export import export
    from odyssey_tui.services.matrix_export import exportable

    say_wrapped(f"wrote {export(exportable(found, experiment), target)}")


def emit(found: Matrix, spread: Spread, bounds: Intervals | None, *, json: bool, csv: bool, latex: bool) -> None:
    """Print the matrix in the form asked for."""
    from odyssey_tui.services.matrix_export import LONG_COLUMNS, long_rows, record, wide_table

    if json:
        emit_json(record(found, bounds))
    elif csv:
        emit_table(LONG_COLUMNS, long_rows(found, bounds), csv=True)
    elif latex:
        emit_table(*wide_table(found, spread, bounds), latex=True)
    elif not found.rows:
        click.echo(f"{found.reason}\n  {found.hint}")
    else:
        print_matrix(found, spread, bounds)


def print_matrix(found: Matrix, spread: Spread, bounds: Intervals | None) -> None:
    """Title, as many panels of columns as it takes, and what is missing."""
    from odyssey_tui.services.matrix_export import wide_table, widths_of

    seeds = sorted({row.n_seeds for row in found.rows} - {0})
    over = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}" if seeds else "0"
    beside = {"sd": " ± sd", "range": " ± half the range", "none": ""}[spread]
    mean = f", mean{beside} over {over} seeds" if seeds and seeds[-1] > 1 and bounds is None else ""
    interval = ", mean over seeds [95 % bootstrap over documents]" if bounds is not None else ""
    print_wrapped(f"{found.title}: {head_words(found)}{mean}{interval}")
    place = next((number for number, one in enumerate(found.choices, 1) if one.cell == found.cell), 1)
    more = f" (cell {place} of {len(found.choices)}; --cell N shows another)" if len(found.choices) > 1 else ""
    print_wrapped(f"{found.cell_text}{more}")
    columns, rows = wide_table(found, spread, bounds)
    widths = widths_of(columns, rows)
    widths[0] = min(widths[0], LONGEST_LABEL)
    for panel in panels(widths, terminal_width()):
        click.echo()
        for line in ([column.title or column.key for column in columns], *rows):
            label = cut_middle(line[0], widths[0]).ljust(widths[0])
            cells = [label, *(line[column].rjust(widths[column]) for column in panel)]
            click.echo((" " * GAP).join(cells).rstrip())
    click.echo()
    own = "scored on the domain that was adapted to"
    print_wrapped(f"{'[ ]' if bounds is None else '*'} {own}; zero-shot: {VALUES[found.value.base].level}")
    for gap in found.gaps:
        print_wrapped(gap.sentence)
    for note in found.notes:
        print_wrapped(note, bullet="note: ")


def head_words(found: Matrix) -> str:
    """What rows and columns are."""
    rows = "adapted to" if found.rows_by == "domain" else found.rows_by.replace("_", " ")
    return f"{rows} (rows) × scored on (columns)"


def cut_middle(text: str, width: int) -> str:
    """At most ``width`` characters, both ends kept: long labels differ at either."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def panels(widths: list[int], room: int) -> list[list[int]]:
    """The columns in groups that fit ``room`` beside the labels, at least one in each."""
    found: list[list[int]] = [[]]
    used = widths[0]
    for place in range(1, len(widths)):
        needed = GAP + widths[place]
        if found[-1] and used + needed > room:
            found.append([])
            used = widths[0]
        found[-1].append(place)
        used += needed
    return found
