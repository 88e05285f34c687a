"""``odyssey forecast``: a fitted law beside what was measured, how well every law predicts, what the law gets wrong."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.laws.errors import LawError
from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.numbers import Number
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped
from store.errors import DataError

if TYPE_CHECKING:
    from odyssey_tui.services.forecast import AnchorsWanted, Forecast
    from odyssey_tui.services.forecast_figure import View


class Anchors(click.ParamType):
    """A number of anchors, or ``any``."""

    name = "K"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AnchorsWanted:
        if isinstance(value, int) or value == "any":
            return value
        if not str(value).isdecimal():
            self.fail(f"{value!r} is no number of anchors", param, ctx)
        return int(value)


@click.command()
@click.option("--form", help="Which law to draw; default: the one with the lowest held-out error.")
@click.option("--role", default="target", show_default=True, type=click.Choice(["target", "base"]), help="Which loss.")
@click.option("--domain", help="Which domain; default: the one fitted last.")
@click.option("--experiment", help="Only fits of this experiment.")
@click.option("--split", metavar="N|RUN", help="Which fit run: its place in the list (1: the newest) or its name.")
@click.option(
    "--x",
    default="adapt_tokens",
    show_default=True,
    type=click.Choice(["adapt_tokens", "atpp", "replay_ratio", "n_params", "ptpp"]),
    help="The axis.",
)
@click.option("--size", help="Model size to draw: a label or a number of parameters.")
@click.option("--replay", "replay_ratio", type=Number(0, 1), help="Replay ratio to draw: the nearest measured.")
@click.option("--atpp", type=Number(0, min_open=True), help="ATPP to draw where it is not the axis.")
@click.option(
    "--anchors",
    is_flag=False,
    flag_value="any",
    type=Anchors(),
    default=0,
    help="Draw the fit that saw K anchors at the held-out PTPP; without K: the fewest there are.",
)
@click.option("--residuals", is_flag=True, help="Show the errors at every point, and by P, N, ρ and A.")
@click.option("--calibration", is_flag=True, help="Draw measured against predicted losses at the held-out points.")
@click.option("--svg", type=click.Path(path_type=Path), help="Also write the figure, as .svg or .png.")
@table_options
@click.pass_obj
def forecast(
    invocation: Invocation,
    json: bool,
    csv: bool,
    latex: bool,
    residuals: bool,
    calibration: bool,
    svg: Path | None,
    anchors: AnchorsWanted,
    **options: Any,
) -> None:
    """Draw a fitted law over the measured points and list the scores of every stored law.

    One curve per PTPP with a 90 % band from the bootstrap draws; filled points were fitted, hollow ones held out.
    The forms named ptpp_*, zero_shot and quality are this project's own.
    """
    from odyssey_tui.services.forecast import forecast as read_forecast
    from odyssey_tui.services.forecast_record import SCORES, record, table_of

    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    if residuals and calibration:
        raise click.UsageError("--residuals and --calibration exclude each other")
    view: View = "residuals" if residuals else "calibration" if calibration else "forecast"
    found = read_forecast(invocation.open(), anchors=anchors, **options)
    require_anchors(found, anchors)
    if svg is not None:
        write_figure(found, svg, view)
    if json:
        emit_json(record(found))
        return
    columns, rows = table_of(found, view)
    if csv or latex:
        emit_table(columns, rows, csv=csv, latex=latex)
        return
    if found.reason and not found.scores:
        click.echo(f"{found.reason}\n  {found.hint}")
        return
    print_figure_of(found, view)
    if view == "residuals":
        print_residuals(found)
        return
    title = f"Held-out scores of the {found.role} loss on {found.domain}"
    emit_table(SCORES, table_of(found, "forecast")[1], title=title, empty="no law was scored")
    if view == "forecast":
        print_words(found)
    else:
        print()
        print_leans(found)


def require_anchors(found: Forecast, asked: AnchorsWanted) -> None:
    """Refuse what no fit saw; the screen shows the fit without anchors instead."""
    if found.scores and asked not in (0, found.anchors) and (asked != "any" or not found.anchors):
        known = ", ".join(str(count) for count in found.choices.anchors)
        count = "" if asked == "any" else f"{asked} "
        raise LawError(
            f"No fit of {found.form} with {count}anchors is stored.",
            f"There are fits with {known}; `odyssey fit --anchors 5,20` makes others.",
        )


def write_figure(found: Forecast, target: Path, view: View) -> None:
    """The figure as a file; says where."""
    from odyssey_tui.services.figure_export import save_figure
    from odyssey_tui.services.forecast_figure import draw_view

    figure = draw_view(found, view)
    if figure.is_empty:
        reason = found.reason or "No point is held out."
        raise DataError(f"no figure was written. {reason}", found.hint)
    click.echo(f"wrote {save_figure(figure, target)}", err=True)


def print_figure_of(found: Forecast, view: View) -> None:
    """The chart, and why it has no curve."""
    from odyssey_tui.services.forecast_figure import draw_view

    figure = draw_view(found, view)
    if not figure.is_empty:
        print_figure(figure, height=22)
    if found.reason and view == "forecast":
        print_wrapped(found.reason)
        print_wrapped(found.hint, bullet="  ")
    print()


def print_residuals(found: Forecast) -> None:
    """The errors by axis, and what they go with."""
    from odyssey_tui.services.forecast_record import BY_AXIS

    rows = [asdict(row) for row in found.residual_rows]
    emit_table(BY_AXIS, rows, title="Errors, predicted / measured − 1", empty="there are no points")
    print()
    print_leans(found)


def print_leans(found: Forecast) -> None:
    """What the errors go with."""
    for lean in found.lean:
        print_wrapped(lean.sentence, bullet="- ")
    if not found.lean:
        print_wrapped("The errors go with none of the axes alone.", bullet="- ")


def print_words(found: Forecast) -> None:
    """The law, its parameters, what it rests on and what it leaves open."""
    from odyssey_tui.services.fit_words import open_lines
    from odyssey_tui.services.forecast_record import PARAMETERS

    print()
    print_wrapped(f"L = {found.formula}")
    print_wrapped(f"({found.source})")
    if found.parameters:
        print()
        emit_table(PARAMETERS, [asdict(row) for row in found.parameters], title="Parameters, 90 % of the refits")
        print()
    leans = [lean.sentence for lean in found.lean[:1]]
    for sentence in (*found.facts, *leans, *found.warnings, *([found.stale] if found.stale else [])):
        print_wrapped(sentence, bullet="- ")
    head, *lines = open_lines(found.open) or ("",)
    if head:
        print_wrapped(head, bullet="- ")
    for line in lines:
        print(line)
    if len(found.choices.splits) > 1:
        print_splits(found)


def print_splits(found: Forecast) -> None:
    """The other fit runs of the domain."""
    print()
    print(f"Fits of {found.domain} (--split N):")
    for place, split in enumerate(found.choices.splits, 1):
        mark = "▸" if split.run_id == found.split else " "
        print_wrapped(f"{split.name}  ({split.run_id})", bullet=f"{mark} {place}  ")
