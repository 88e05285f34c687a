"""``odyssey launch``: an experiment expanded into runs, and queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.services.format import count, duration, state_text
from odyssey_tui.services.launch import compose_whole, find_config
from odyssey_tui.services.launch import launch as queue_runs

if TYPE_CHECKING:
    from odyssey_tui.services.launch import Composition, PlannedRun

COLUMNS = (
    Column("state", "state", lambda state: "+ new" if state == "new" else state_text(state)),
    Column("name", "run"),
    Column("kind", "kind", drop=3),
    Column("budgets", "at", drop=2),
    Column("tokens", "tokens", lambda tokens: count(tokens) if tokens else ""),
    Column("flops", "FLOPs", lambda flops: count(flops) if flops else "", drop=1),
)


@click.command()
@click.argument("config")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in base.ptpp=[8,16].")
@click.option("--dry-run", is_flag=True, help="Show what would run; queue nothing.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def launch(invocation: Invocation, config: str, overrides: tuple[str, ...], dry_run: bool, json: bool) -> None:
    """Expand CONFIG (a YAML file, or the name of a ready experiment) into runs and queue those that are new."""
    path = find_config(config)
    # A new workspace is made only for an experiment that can be queued.
    workspace = invocation.planned() or invocation.open_or_create()
    composition = compose_whole(workspace, path, overrides)
    if not dry_run:
        queue_runs(invocation.open_or_create(), composition)
    if json:
        emit_json(as_json(composition, queued=not dry_run))
        return
    if dry_run:
        emit_table(COLUMNS, [table_row(run) for run in composition.runs])
    for caution in composition.cautions:
        click.echo(f"caution: {caution}", err=True)
    click.echo(summary(composition, queued=not dry_run), err=True)


def table_row(run: PlannedRun) -> dict[str, object]:
    """A planned run as a row of COLUMNS."""
    at = ", ".join(f"{budget:g}" for budget in run.budgets)
    return {
        "state": run.state,
        "name": run.name,
        "kind": run.kind,
        "budgets": at,
        "tokens": run.tokens,
        "flops": run.flops,
    }


def summary(composition: Composition, *, queued: bool) -> str:
    """``queued 22 new runs (4 exist already): 20.2M tokens, 8.6T FLOPs, about 3m on one slot``."""
    new, existing = len(composition.new), len(composition.runs) - len(composition.new)
    verb = "queued" if queued else "would queue"
    time = f", about {duration(composition.seconds)} on one slot" if composition.seconds else ""
    noun = "run" if new == 1 else "runs"
    there = f" ({existing} there already)" if existing else ""
    return f"{verb} {new} new {noun}{there}: {count(composition.tokens)} tokens, {count(composition.flops)} FLOPs{time}"


def as_json(composition: Composition, *, queued: bool) -> dict[str, object]:
    """The plan for scripts: one object a run, and the sums over the new ones."""
    return {
        "queued": queued,
        "new": len(composition.new),
        "existing": len(composition.runs) - len(composition.new),
        "tokens": composition.tokens,
        "flops": composition.flops,
        "seconds": composition.seconds,
        "cautions": list(composition.cautions),
        "runs": [
            {
                "run": run.run_id,
                "name": run.name,
                "kind": run.kind,
                "state": run.state,
                "labels": dict(run.labels),
                "budgets": list(run.budgets),
                "tokens": run.tokens,
                "flops": run.flops,
            }
            for run in composition.runs
        ],
    }
