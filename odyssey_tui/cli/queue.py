"""``odyssey queue``: what runs, what waits, what ended badly, and for how long."""

from __future__ import annotations

from dataclasses import asdict

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import say_wrapped
from odyssey_tui.services.format import duration, state_text
from odyssey_tui.services.queue import read_queue

MOST_BAD = 5
COLUMNS = (
    Column("state", "state", state_text),
    Column("name", "run"),
    Column("attempt", "attempt", lambda attempt: str(attempt) if attempt > 1 else "", drop=3),
    Column("slot", "on", drop=2),
    Column("share", "done", ".0%"),
    Column("eta_s", "left", duration),
    Column("reason", "why", drop=1),
)
OPTIONAL = {"attempt": lambda row: row["attempt"] > 1, "slot": lambda row: bool(row["slot"])}
"""Columns that are there only if some row has something to say in them."""


@click.command()
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def queue(invocation: Invocation, json: bool) -> None:
    """Show what runs, what waits in the order in which it will start and for what, and how long it will all take.

    Runs that failed or got lost within a day are listed below, until they are queued again.
    """
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
    rows = [asdict(entry) for entry in (*view.entries, *view.bad[:MOST_BAD])]
    columns = [column for column in COLUMNS if column.key not in OPTIONAL or any(map(OPTIONAL[column.key], rows))]
    emit_table(columns, rows, empty="nothing runs or waits")
    for entry in view.bad[:MOST_BAD]:
        # The table cuts what is long, and the last words stand at the end.
        say_wrapped(f"{entry.name} {entry.state}: {entry.reason}{f' {entry.hint}' if entry.hint else ''}")
    for note in view.notes:
        say_wrapped(note)
    if len(view.bad) > MOST_BAD:
        click.echo(f"{len(view.bad) - MOST_BAD} more ended badly within a day: 'odyssey queue --json'", err=True)
