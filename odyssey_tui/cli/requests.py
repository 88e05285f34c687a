"""Requests to the scheduler: cancel, retry, pause, resume, move; of runs or of whole experiments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.printing import say_logout, say_wrapped
from odyssey_tui.services import queue
from store.errors import OdysseyError

if TYPE_CHECKING:
    from store.workspace import Workspace

SHOWN = 6
"""So many runs are named; of more there is the number."""


def takes_runs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``[RUNS]...`` and ``--experiment``."""
    option = click.option(
        "--experiment",
        "-e",
        "experiments",
        multiple=True,
        metavar="NAME",
        help="All runs of an experiment; may be given several times.",
    )
    return click.argument("runs", nargs=-1)(option(command))


@dataclass(frozen=True)
class Choice:
    """The runs that a request is made for and those of them that run now; a sentence for each of the others."""

    run_ids: tuple[str, ...]
    live: tuple[str, ...]
    others: tuple[str, ...]


def choose(workspace: Workspace, action: str, runs: Sequence[str], experiments: Sequence[str]) -> Choice:
    """What RUNS and --experiment mean. Raises OdysseyError when there is nothing to ask for."""
    from odyssey_tui.services.runs import find_run_ids

    if not runs and not experiments:
        raise click.UsageError("give RUNS, or --experiment NAME")
    found: list[str] = []
    others: list[str] = []
    if runs:
        able, rest = queue.split_by_state(workspace, action, find_run_ids(workspace, runs))
        found, others = found + able, others + rest
    if experiments:
        sweep = queue.find_sweep(workspace, action, experiments)
        found, others = found + list(sweep.run_ids), others + list(sweep.others)
    run_ids = tuple(dict.fromkeys(found))
    live = tuple(run_id for run_id in run_ids if workspace.run(run_id).state().state in queue.LIVE)
    return Choice(run_ids, live, tuple(others))


def say(done: str, choice: Choice) -> None:
    """What was asked for, and what is left as it is."""
    for line in (f"{done}: {list_runs(choice.run_ids)}", *choice.others):
        say_wrapped(line)


def list_runs(run_ids: Sequence[str]) -> str:
    """The runs, or of many their number."""
    return ", ".join(run_ids) if len(run_ids) <= SHOWN else f"{len(run_ids)} runs"


@click.command()
@takes_runs
@click.option("--yes", "-y", is_flag=True, help="Do not ask before running work of an experiment is stopped.")
@click.pass_obj
def cancel(invocation: Invocation, runs: tuple[str, ...], experiments: tuple[str, ...], yes: bool) -> None:
    """Cancel RUNS (ids, names or beginnings of ids): waiting ones at once, running ones at their next safe point.

    With --experiment: all its runs but those that another unfinished experiment needs too.
    """
    workspace = invocation.open()
    choice = choose(workspace, "cancel", runs, experiments)
    if experiments and choice.live and not yes:
        confirm(f"This stops {len(choice.live)} running: {list_runs(choice.live)}")
    queue.cancel_runs(workspace, choice.run_ids)
    say("asked to cancel", choice)


def confirm(consequence: str) -> None:
    """Ask before something is stopped. OdysseyError where nobody can answer."""
    if not sys.stdin.isatty():
        raise OdysseyError(consequence, "Give --yes if that is meant.")
    click.confirm(f"{consequence}\nGo on?", abort=True, err=True)


@click.command()
@takes_runs
@click.pass_obj
def retry(invocation: Invocation, runs: tuple[str, ...], experiments: tuple[str, ...]) -> None:
    """Queue failed, cancelled or lost RUNS again; of a held one, what holds it."""
    workspace = invocation.open()
    choice = choose(workspace, "retry", runs, experiments)
    queue.retry_runs(workspace, choice.run_ids)
    say("queued again", choice)


@click.command()
@takes_runs
@click.pass_obj
def pause(invocation: Invocation, runs: tuple[str, ...], experiments: tuple[str, ...]) -> None:
    """Start no further runs; those that run go on. With --experiment: none of that experiment.

    RUNS are held back: one that runs saves and stops at its next safe point.
    """
    workspace = invocation.open()
    queue.check_experiments(workspace, experiments)
    if runs:
        choice = choose(workspace, "pause", runs, ())
        queue.hold_runs(workspace, choice.run_ids)
        say("asked to hold", choice)
        if choice.live:
            say_wrapped(f"saves and stops at its next safe point: {list_runs(choice.live)}")
    if experiments:
        queue.pause_experiments(workspace, experiments)
        names = " ".join(f"--experiment {name}" for name in experiments)
        say_wrapped(f"paused: {', '.join(experiments)}; what runs goes on; 'odyssey resume {names}' starts the rest")
    if not runs and not experiments:
        queue.pause_queue(workspace)
        say_wrapped("paused: 'odyssey resume' goes on")


@click.command()
@takes_runs
@click.pass_obj
def resume(invocation: Invocation, runs: tuple[str, ...], experiments: tuple[str, ...]) -> None:
    """Start queued runs again. RUNS: let go of those that are held on request. --experiment: end its pause."""
    workspace = invocation.open()
    queue.check_experiments(workspace, experiments)
    if runs:
        choice = choose(workspace, "resume", runs, ())
        queue.release_runs(workspace, choice.run_ids)
        say("let go", choice)
    if experiments:
        queue.resume_experiments(workspace, experiments)
        say_wrapped(f"resumed: {', '.join(experiments)}")
    if not runs and not experiments:
        queue.resume_queue(workspace)
        say_wrapped("resumed")
        for name in queue.list_paused(workspace):
            say_wrapped(f"{name} stays paused: 'odyssey resume --experiment {name}' goes on")
    say_logout()


@click.command()
@takes_runs
@click.option("--up", "where", flag_value="up", help="One place forward.")
@click.option("--down", "where", flag_value="down", help="One place back.")
@click.option("--top", "where", flag_value="top", help="Before all that wait.")
@click.option("--bottom", "where", flag_value="bottom", help="Behind all that wait.")
@click.pass_obj
def move(invocation: Invocation, runs: tuple[str, ...], experiments: tuple[str, ...], where: str | None) -> None:
    """Move waiting RUNS in the queue. What a run needs stays before it, so it goes ahead with it."""
    if where is None:
        raise click.UsageError("say where: --up, --down, --top or --bottom")
    workspace = invocation.open()
    choice = choose(workspace, "move", runs, experiments)
    queue.move_runs(workspace, choice.run_ids, where)
    say(f"asked to move {'to the ' if where in ('top', 'bottom') else ''}{where}", choice)
