"""``odyssey show`` and ``odyssey logs``: one run."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.services.format import duration, number, signed, state_text
from odyssey_tui.services.queue import has_ended
from odyssey_tui.services.runs import find_run_ids

FOLLOW_S = 0.3
EVALUATIONS = (
    Column("state", "at"),
    Column("eval_set", "on"),
    Column("role", "role", drop=3),
    Column("loss", "loss", number),
    Column("delta", "ΔL", signed),
    Column("ppl_before", "PPL before", lambda value: number(value, 2), drop=1),
    Column("ppl", "PPL", lambda value: number(value, 2)),
    Column("bits_before", "b/B before", number, drop=2),
    Column("bits", "bits/byte", number),
)


@click.command()
@click.argument("run")
@table_options
@click.pass_obj
def show(invocation: Invocation, run: str, json: bool, csv: bool, latex: bool) -> None:
    """Show RUN (an id, a name or an unambiguous beginning): state, evaluations before and after, configuration."""
    from odyssey_tui.services.run_detail import read_detail

    workspace = invocation.open()
    detail = read_detail(workspace, find_run_ids(workspace, [run])[0], log_lines=0)
    row = detail.row
    evaluations = [asdict(line) for line in detail.evaluations]
    if json:
        told = {"attempt": detail.attempt, "hint": detail.hint, "history": detail.history, "notes": detail.notes}
        emit_json({**row.record(), **told, "evaluations": evaluations})
        return
    if csv or latex:
        emit_table(EVALUATIONS, evaluations, csv=csv, latex=latex)
        return
    left = f", {duration(row.eta_s)} left" if row.eta_s is not None and row.state == "running" else ""
    share = f" {row.share:.0%}" if row.share is not None and row.state == "running" else ""
    print(f"{row.name}  {state_text(row.state)}{share}{left}\n{row.run_id} · attempt {detail.attempt} · {detail.where}")
    if detail.lineage:
        print(f"from {' → '.join(detail.lineage)}")
    if row.reason:
        print(f"{row.reason}\n  {detail.hint}" if detail.hint else row.reason)
    for line in detail.history:
        print(line)
    for warning in detail.warnings:
        print(f"! {warning}")
    if row.tags:
        print(" ".join(f"#{tag}" for tag in row.tags))
    for note in detail.notes:
        print(f"✎ {note}")
    if evaluations:
        print()
        emit_table(EVALUATIONS, evaluations)
    print(f"\n{detail.facts}")


@click.command()
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the run ends or Ctrl-C.")
@click.pass_obj
def logs(invocation: Invocation, run: str, follow: bool) -> None:
    """Print what RUN's newest attempt wrote to its console."""
    workspace = invocation.open()
    directory = workspace.run(find_run_ids(workspace, [run])[0])
    attempt = directory.latest_attempt()
    offset = _print_from(attempt.console, 0) if attempt is not None else 0
    while follow and not has_ended(workspace, directory):
        time.sleep(FOLLOW_S)
        newest = directory.latest_attempt()
        if newest is not None:
            offset = 0 if attempt is None or newest.number != attempt.number else offset
            attempt = newest
            offset = _print_from(newest.console, offset)
    if attempt is None and not follow:
        click.echo("it has not started yet", err=True)


def _print_from(path: Path, offset: int) -> int:
    """Copy a log to stdout from ``offset``; returns where it ended."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return offset
    sys.stdout.write(content.decode("utf-8", "replace"))
    sys.stdout.flush()
    return offset + len(content)
