"""``odyssey forecast``: a fitted law beside what was measured, and how well every law predicts the held-out points."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped
from odyssey_tui.services.format import number

if TYPE_CHECKING:
    from odyssey_tui.services.forecast import Forecast

SCORES = (
    Column("form", "form"),
    Column("anchors", "anchors", drop=3),
    Column("n", "n"),
    Column("mape", "MAPE %", lambda v: number(v, 2)),
    Column("mae_rel_mean", "mean|e|/L", lambda v: number(v, 4), drop=5),
    Column("mae_rel_sum", "Σ|e|/ΣL", lambda v: number(v, 4), drop=4),
    Column("rmse", "RMSE", lambda v: number(v, 4), drop=2),
    Column("slope", "slope", lambda v: number(v, 3)),
    Column("intercept", "icept", lambda v: number(v, 3), drop=6),
    Column("r2", "R²", lambda v: number(v, 3), drop=7),
    Column("training_mape", "fit %", lambda v: number(v, 2), drop=3),
    Column("saw", "saw at held-out P", drop=8),
)


@click.command()
@click.option("--form", help="Which law to draw; default: the one with the lowest held-out error.")
@click.option("--role", default="target", show_default=True, type=click.Choice(["target", "base"]), help="Which loss.")
@click.option("--domain", help="Which domain; default: the one fitted last.")
@click.option("--experiment", help="Only fits of this experiment.")
@click.option(
    "--x",
    default="adapt_tokens",
    show_default=True,
    type=click.Choice(["adapt_tokens", "atpp", "replay_ratio", "n_params"]),
    help="The axis.",
)
@click.option("--size", help="Model size to draw: a label or a number of parameters.")
@click.option(
    "--replay", "replay_ratio", type=click.FloatRange(0, 1), help="Replay ratio to draw: the nearest measured."
)
@click.option("--anchors", is_flag=True, help="Draw the fit that saw anchors at the held-out PTPP.")
@table_options
@click.pass_obj
def forecast(invocation: Invocation, json: bool, csv: bool, latex: bool, **options: object) -> None:
    """Draw a fitted law over the measured points and list the scores of every stored law.

    One curve per PTPP with a 90 % band from the bootstrap draws; filled points were fitted, hollow ones held out.
    The forms named ptpp_*, zero_shot and quality are this project's own.
    """
    from odyssey_tui.services.forecast import forecast as read_forecast

    found = read_forecast(invocation.open(), **options)
    rows = [asdict(row) for row in found.scores]
    if json:
        emit_json(asdict(found))
        return
    if csv or latex:
        emit_table(SCORES, rows, csv=csv, latex=latex)
        return
    if found.reason and not found.scores:
        click.echo(f"{found.reason}\n  {found.hint}")
        return
    print_figure_of(found)
    title = f"Held-out scores of the {found.role} loss on {found.domain}"
    emit_table(SCORES, rows, title=title, empty="no law was scored")
    print_words(found)


def print_figure_of(found: Forecast) -> None:
    """The chart, or why there is none."""
    from odyssey_tui.services.forecast_figure import draw_forecast

    if found.tracks:
        print_figure(draw_forecast(found), height=22)
    else:
        click.echo(f"{found.reason}\n  {found.hint}")
    print()


def print_words(found: Forecast) -> None:
    """The law, what it rests on and what it leaves open."""
    from odyssey_tui.services.fit_words import open_lines

    print()
    print_wrapped(f"L = {found.formula}")
    print_wrapped(f"({found.source})")
    for sentence in (*found.facts, *found.warnings, *([found.stale] if found.stale else [])):
        print_wrapped(sentence, bullet="- ")
    head, *lines = open_lines(found.open) or ("",)
    if head:
        print_wrapped(head, bullet="- ")
    for line in lines:
        print(line)
