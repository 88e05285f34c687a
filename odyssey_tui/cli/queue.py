"""``odyssey queue``: what runs, what waits, what ended badly, and for how long."""

from __future__ import annotations

from dataclasses import asdict

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import say_wrapped
from odyssey_tui.services.board import COLUMNS
from odyssey_tui.services.queue import read_queue

MOST_BAD = 5
OPTIONAL = {"attempt": lambda row: row["attempt"] > 1, "slot": lambda row: bool(row["slot"])}
"""Columns that are there only if some row has something to say in them."""


@click.command()
@table_options
@click.pass_obj
def queue(invocation: Invocation, json: bool, csv: bool, latex: bool) -> None:
    """Show what runs, what waits in the order in which it will start and for what, and how long it will all take.

    Runs that failed or got lost within a day are listed below, until they are queued again.
    """
    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    view = read_queue(invocation.open())
    if json:
        pulse = view.pulse
        emit_json(
            {
                "scheduler": pulse.works,
                "paused": pulse.paused,
                "paused_experiments": dict(view.paused_experiments),
                "share": pulse.share,
                "eta_s": pulse.eta_s,
                "counts": dict(pulse.counts),
                "runs": [asdict(entry) for entry in view.entries],
                "bad": [asdict(entry) for entry in view.bad],
            }
        )
        return
    if csv or latex:
        emit_table(COLUMNS, [asdict(entry) for entry in (*view.entries, *view.bad)], csv=csv, latex=latex)
        return
    rows = [asdict(entry) for entry in (*view.entries, *view.bad[:MOST_BAD])]
    shown = [column for column in COLUMNS if column.key != "experiment"]
    columns = [column for column in shown if column.key not in OPTIONAL or any(map(OPTIONAL[column.key], rows))]
    emit_table(columns, rows, empty="nothing runs or waits")
    for entry in view.bad[:MOST_BAD]:
        # The table cuts what is long, and the last words stand at the end.
        say_wrapped(f"{entry.name} {entry.state}: {entry.reason}{f' {entry.hint}' if entry.hint else ''}")
    for note in view.notes:
        say_wrapped(note)
    if len(view.bad) > MOST_BAD:
        click.echo(f"{len(view.bad) - MOST_BAD} more ended badly within a day: 'odyssey queue --json'", err=True)
