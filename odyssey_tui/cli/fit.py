"""``odyssey fit``: fit the laws again, on everything that has been measured."""

from __future__ import annotations

from typing import Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import emit_json


class Items(click.ParamType):
    """Values separated by commas."""

    name = "A,B,…"

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        try:
            return tuple(self.kind(part.strip()) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers, for example 8,16", param, ctx)


@click.command()
@click.option("--domain", help="Which domain; default: the one fitted last, else the one with the most points.")
@click.option("--experiment", help="Only runs of this experiment.")
@click.option("--forms", type=Items(str), help="Laws to fit, e.g. dcpt,zero_shot.")
@click.option("--fit-ptpp", type=Items(float), help="PTPP values to fit.")
@click.option("--score-ptpp", type=Items(float), help="PTPP values to hold out and score; default: the highest.")
@click.option("--anchors", type=click.IntRange(min=0), help="Held-out points that join a second fit.")
@click.option("--starts", type=click.IntRange(min=1), help="Starting points of the optimiser.")
@click.option("--bootstrap", type=click.IntRange(min=0), help="Refits for the bands.")
@click.option("--wait", is_flag=True, help="Wait for it and print the scores.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_context
def fit(
    context: click.Context, wait: bool, json: bool, domain: str | None, experiment: str | None, **options: Any
) -> None:
    """Queue a fit of the laws to all adapted states of a domain; 'odyssey forecast' shows the result.

    What is not given is as in the domain's newest fit. The same fit of the same runs is not done twice.
    """
    from odyssey_tui.services.fitting import fit_again

    invocation: Invocation = context.obj
    workspace = invocation.open()
    fitting = fit_again(workspace, domain=domain, experiment=experiment, **options)
    if wait:
        wait_for(workspace, fitting.run_id)
    if json:
        emit_json({**vars(fitting), "job": fitting.job.content()})
        return
    verb = "queued" if fitting.queued else f"is there already ({fitting.state})"
    held_out = ", ".join(f"{value:g}" for value in fitting.job.score_ptpp) or "nothing"
    click.echo(
        f"{fitting.run_id} {verb}: {len(fitting.job.forms)} laws on {fitting.n_points} points of {fitting.n_runs} "
        f"runs adapted to {fitting.domain}; held out: P = {held_out}.",
        err=wait,
    )
    if wait:
        from odyssey_tui.cli.forecast import forecast

        context.invoke(forecast, domain=fitting.domain)


def wait_for(workspace: Any, run_id: str) -> None:
    """Follow the run until it has ended; an error when it did not end well."""
    from odyssey_tui.cli.demo import follow
    from odyssey_tui.services.demo import DemoWatch
    from store.errors import OdysseyError
    from store.ingest import ingest

    watched = follow(DemoWatch(workspace, [run_id]), 1)
    ingest(workspace)
    if watched.failed:
        raise OdysseyError(watched.failed[0], f"'odyssey logs {run_id}' shows what it said.")
