"""``odyssey delete``: runs gone for good, after a look at what would go."""

from __future__ import annotations

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import say_wrapped
from odyssey_tui.services.deletion import DeletionPlan, delete_runs, plan_deletion, runs_of_experiment
from odyssey_tui.services.format import count, size
from odyssey_tui.services.runs import find_run_ids

COLUMNS = (
    Column("run", "run"),
    Column("state", "state"),
    Column("bytes", "on disk", size),
    Column("why", "", drop=1),
)


@click.command()
@click.argument("runs", nargs=-1)
@click.option("--experiment", "-e", metavar="NAME", help="All runs of this experiment.")
@click.option("--with-dependents", is_flag=True, help="Also the runs that rest on them.")
@click.option("--keep-losses", is_flag=True, help="Delete directories only: evaluations and curves stay.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", is_flag=True, help="Print what would go as JSON; with --yes what went.")
@click.pass_obj
def delete(
    invocation: Invocation,
    runs: tuple[str, ...],
    experiment: str | None,
    with_dependents: bool,
    keep_losses: bool,
    yes: bool,
    json: bool,
) -> int:
    """Delete RUNS (ids, names or beginnings of ids): directories, places in the queue and rows of the database.

    Shows what would go, then asks. A run that is waiting or running, and one that other runs rest on, is refused.
    """
    if not runs and not experiment:
        raise click.UsageError("name runs, or an experiment with --experiment NAME")
    workspace = invocation.open()
    wanted = find_run_ids(workspace, runs)
    wanted += runs_of_experiment(workspace, experiment) if experiment else []
    plan = plan_deletion(workspace, wanted, with_dependents=with_dependents, keep_results=keep_losses)
    if json:
        emit_json(_as_json(plan))
    else:
        _show(plan)
    if plan.refusals:
        for refusal in plan.refusals:
            say_wrapped(refusal)
        if plan.dependents and not with_dependents:
            say_wrapped("--with-dependents takes along what rests on them")
        return Exit.FAILED
    if not yes:
        if json:
            return Exit.OK
        click.confirm(f"Delete {_runs(len(plan.runs))} for good?", abort=True, err=True)
    delete_runs(workspace, plan)
    click.echo(f"deleted {_runs(len(plan.runs))}, {size(plan.n_bytes)}", err=True)
    return Exit.OK


def _show(plan: DeletionPlan) -> None:
    rows = [
        {
            "run": run.run_id,
            "state": run.state,
            "bytes": run.n_bytes,
            "why": "" if run.asked else "rests on another",
        }
        for run in plan.runs
    ]
    emit_table(COLUMNS, rows)
    if plan.keep_results:
        say_wrapped(f"{size(plan.n_bytes)} in directories; what the runs measured stays in the database")
        return
    told = ", ".join(f"{count(rows)} of {table}" for table, rows in plan.rows.items())
    say_wrapped(f"{size(plan.n_bytes)} in directories; rows: {told or 'none'}")


def _as_json(plan: DeletionPlan) -> dict[str, object]:
    return {
        "runs": [
            {"run": run.run_id, "state": run.state, "path": str(run.path), "bytes": run.n_bytes, "asked": run.asked}
            for run in plan.runs
        ],
        "bytes": plan.n_bytes,
        "rows": dict(plan.rows),
        "refusals": list(plan.refusals),
        "dependents": {run_id: list(users) for run_id, users in plan.dependents.items()},
    }


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"
