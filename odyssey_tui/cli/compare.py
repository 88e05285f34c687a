"""``odyssey compare``: runs side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.numbers import Number
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped
from odyssey_tui.services.compare_tables import columns_of, record, table_rows
from odyssey_tui.services.curve_names import X_AXES
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.services.compare import Comparison


@click.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--metric", "-m", default="loss", show_default=True, help="Whose curves are drawn: tokens_per_s, lr, …")
@click.option("--x", "axis", type=click.Choice(list(X_AXES)), default="tokens", show_default=True, help="Their x axis.")
@click.option("--smooth", type=Number(0, 1, max_open=True), default=0.0, help="Average them: 0.9, say.")
@click.option("--seeds", is_flag=True, help="Runs that differ in their seed alone as one curve with a band.")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the curves, as .svg or .png.")
@click.option("--plane", type=click.Path(path_type=Path), help="Write learning and forgetting, as .svg or .png.")
@table_options
@click.pass_obj
def compare(
    invocation: Invocation,
    runs: tuple[str, ...],
    metric: str,
    axis: str,
    smooth: float,
    seeds: bool,
    svg: Path | None,
    plane: Path | None,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """Show what differs between runs and what they did to the losses.

    ΔL is adapted minus zero-shot loss in nats per token, with a 95 % interval from a paired bootstrap over documents;
    "vs first" is the loss minus that of the first run on the same text. Runs of different tokenizers are compared in
    bits per byte.
    """
    if len(runs) < 2:
        raise click.UsageError("comparing needs two runs or more; 'odyssey runs' lists them")
    from odyssey_tui.plots.smoothing import smoothed
    from odyssey_tui.services.compare import compare as compare_runs
    from odyssey_tui.services.compare_figures import draw_curves, draw_plane, read_compared

    workspace = invocation.open()
    found = compare_runs(workspace, runs)
    check_metric(found, metric)
    rows = table_rows(found)
    curves = smoothed(draw_curves(read_compared(workspace, found, metric, axis, joined=seeds), metric, axis), smooth)
    figures = (curves, draw_plane(found))
    save_figures(zip(figures, (svg, plane), strict=True))
    if json:
        emit_json(record(found, rows))
        return
    if csv or latex:
        emit_table(columns_of(found, precise=csv), rows, csv=csv, latex=latex)
        return
    print_differences(found)
    emit_table(columns_of(found), rows, title="Losses of the last states", empty="no evaluation yet")
    for figure in figures:
        if not figure.is_empty:
            print()
            print_figure(figure, height=16)
    for note in found.notes:
        print_wrapped(note, bullet="note: ")


def print_differences(found: Comparison) -> None:
    """The configuration keys that differ, one run below the other where they do not fit beside each other."""
    labels = [run.label for run in found.runs]
    print("Runs")
    for number_, run in enumerate(found.runs, 1):
        print(f"  {number_}  {run.label} ({run.kind}, {run.state})")
    columns = [Column("key", "configuration"), *(Column(str(index), str(index)) for index in range(1, len(labels) + 1))]
    rows = [[difference.key, *difference.values] for difference in found.differences]
    print()
    emit_table(columns, rows, empty="the configurations are the same")
    print()


def check_metric(found: Comparison, metric: str) -> None:
    """ConfigError for a metric that none of the runs wrote; the loss may be missing, for it was not asked for."""
    if metric != "loss" and metric not in found.metrics:
        known = f"There is: {', '.join(found.metrics)}." if found.metrics else "They wrote none."
        raise ConfigError(f"none of the runs has curves of '{metric}'", suggest(metric, found.metrics, known))


def save_figures(wanted: Iterable[tuple[Figure, Path | None]]) -> None:
    """Write the figures that were asked for; says where."""
    from odyssey_tui.services.figure_export import save_figure

    for figure, target in wanted:
        if target is not None:
            click.echo(f"wrote {save_figure(figure, target)}", err=True)
