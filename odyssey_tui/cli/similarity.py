"""``odyssey similarity``: ΔL against similarity to the pretraining text, as a figure, a table and a sentence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped
from odyssey_tui.services.format import number, signed
from odyssey_tui.services.scatter_views import significant
from odyssey_tui.services.similarity import Point, Scatter, scatter
from odyssey_tui.services.similarity_figure import draw_scatter

COLUMNS = (
    Column("domain", "domain"),
    Column("value", "value", significant),
    Column("value_low", "low", significant, drop=2),
    Column("value_high", "high", significant, drop=2),
    Column("zero_shot_loss", "zero-shot", number, drop=1),
    Column("loss", "adapted", number, drop=1),
    Column("delta", "ΔL", signed),
    Column("r_without", "r without", lambda r: signed(r, 2), drop=3),
)
FULL_PRECISION = ("similarity", "similarity_low", "similarity_high", "delta_low", "delta_high", "n_seeds")
IDENTITY = ("before", "after", "run_id")


@click.command()
@click.option("--measure", help="mmd2, cosine, c2st, frechet, l2, jsd or zero_shot; default: the first there is.")
@click.option("--embedder", help="model, ngrams or tokens; default: the first there is.")
@click.option("--experiment", help="Only the adapted states of this experiment.")
@click.option("--size", help="Only this model size.")
@click.option("--ptpp", type=float, help="Only base states of this PTPP.")
@click.option("--method", default="full", show_default=True, help="full, lora, ... or any.")
@click.option("--replay", "replay_ratio", type=click.FloatRange(0, 1), help="Only this replay ratio.")
@click.option("--atpp", type=float, help="Only this ATPP.")
@table_options
@click.pass_obj
def similarity(invocation: Invocation, json: bool, csv: bool, latex: bool, method: str, **options: Any) -> None:
    """Show whether adaptation hurts where a domain resembles the pretraining text.

    One point per domain, all at the same size, PTPP, replay ratio, ATPP and method: those asked for, else the ones that
    most domains share. Right is more similar: distances are negated.
    """
    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    found = scatter(invocation.open(), method=None if method == "any" else method, **options)
    if json:
        emit_json({**asdict(found), "sentence": found.sentence, "influence": found.influence})
        return
    if not found.points and not (csv or latex):
        click.echo(f"{found.reason}\n  {found.hint}")
        return
    columns = [*COLUMNS, *(Column(key) for key in (*FULL_PRECISION, *IDENTITY))] if csv else list(COLUMNS)
    if not (csv or latex):
        print_figure(draw_scatter(found))
        click.echo()
    emit_table(columns, [record(point) for point in found.points], csv=csv, latex=latex)
    if not (csv or latex):
        print_words(found)


def record(point: Point) -> dict[str, Any]:
    """A point with the interval of the measure as it is, unoriented."""
    ends = (point.similarity_low, point.similarity_high)
    negated = point.similarity != point.value
    low, high = ends if not negated or None in ends else (-ends[1], -ends[0])
    return {**asdict(point), "value_low": low, "value_high": high}


def print_words(found: Scatter) -> None:
    """The finding, what it rests on, and whether the other measures say the same."""
    click.echo(f"\n{found.sentence}")
    if found.influence:
        click.echo(f"{found.influence[0].upper()}{found.influence[1:]}: the domain it hangs on most.")
    sample = f" from {found.n_samples} samples a domain" if found.n_samples else ""
    encoder = f", encoder {found.encoder}" if found.encoder else ""
    print_wrapped(f"Reference: {found.reference}{encoder}{sample}.")
    if found.cell is not None:
        print_wrapped(f"Adapted states: {found.cell.text}.")
    for line in (found.note, *found.missing):
        if line:
            print_wrapped(f"{line}.")
    if len(found.agreement) > 1:
        click.echo("\nBy measure:")
        for line in found.by_measure:
            click.echo(f"  {line}")
