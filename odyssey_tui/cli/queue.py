"""``odyssey queue`` and the requests to the scheduler: cancel, retry, pause, resume."""

from __future__ import annotations

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.services.format import duration, state_text
from odyssey_tui.services.queue import cancel_runs, pause_queue, read_queue, resume_queue, retry_runs, split_by_state
from odyssey_tui.services.runs import find_run_ids

COLUMNS = (
    Column("state", "state", state_text),
    Column("name", "run"),
    Column("progress", "done", ".0%"),
    Column("eta_s", "left", duration),
    Column("reason", "why it waits", drop=1),
)


@click.command()
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def queue(invocation: Invocation, json: bool) -> None:
    """Show what runs, what waits, and how long it will all take."""
    view = read_queue(invocation.open())
    rows = [
        {
            "state": entry.state,
            "name": entry.name,
            "progress": entry.share,
            "eta_s": entry.eta_s,
            "reason": entry.reason,
        }
        for entry in view.entries
    ]
    if json:
        pulse = view.pulse
        summary = {"scheduler": pulse.works, "paused": pulse.paused, "share": pulse.share, "eta_s": pulse.eta_s}
        emit_json({**summary, "counts": dict(pulse.counts), "runs": rows})
        return
    emit_table(COLUMNS, rows, empty="nothing runs or waits")
    for note in view.notes:
        click.echo(note, err=True)


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.pass_obj
def cancel(invocation: Invocation, runs: tuple[str, ...]) -> None:
    """Cancel RUNS (ids, names or beginnings of ids): waiting ones at once, running ones at their next safe point."""
    workspace = invocation.open()
    able, others = split_by_state(workspace, "cancel", find_run_ids(workspace, runs))
    cancel_runs(workspace, able)
    click.echo("\n".join([f"asked to cancel {', '.join(able)}", *others]), err=True)


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.pass_obj
def retry(invocation: Invocation, runs: tuple[str, ...]) -> None:
    """Queue failed, cancelled or lost RUNS again."""
    workspace = invocation.open()
    able, others = split_by_state(workspace, "retry", find_run_ids(workspace, runs))
    retry_runs(workspace, able)
    click.echo("\n".join([f"queued again: {', '.join(able)}", *others]), err=True)


@click.command()
@click.pass_obj
def pause(invocation: Invocation) -> None:
    """Start no further runs; those that run go on."""
    pause_queue(invocation.open())
    click.echo("paused: 'odyssey resume' goes on", err=True)


@click.command()
@click.pass_obj
def resume(invocation: Invocation) -> None:
    """Start queued runs again."""
    resume_queue(invocation.open())
    click.echo("resumed", err=True)
