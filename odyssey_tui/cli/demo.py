"""``odyssey demo``: a miniature odyssey, watched in the application or as text."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import report
from odyssey_tui.cli.output import Column, emit_table
from odyssey_tui.cli.printing import say_logout
from odyssey_tui.cli.screen import open_screen, require_terminal
from odyssey_tui.services.demo import (
    DemoWatch,
    Watched,
    final_evaluations,
    list_corpora,
    most_worsened,
    start_demo,
)
from odyssey_tui.services.format import bar, count, duration, number, signed
from store.errors import OdysseyError

if TYPE_CHECKING:
    from store.workspace import Workspace

LOOK_S, LINE_S = 0.5, 5.0
"""Seconds between looks, and between lines of progress where stderr is no terminal."""
CORPORA = (
    Column("name", "corpus"),
    Column("source", "source", drop=2),
    Column("documents", "documents", ","),
    Column("groups", "groups", ",", drop=1),
    Column("duplicates", "duplicates", ",", drop=3),
    Column("bytes", "bytes", count),
    Column("test_bytes", "test bytes", count),
    Column("train_tokens", "train tokens", count),
)
EVALUATIONS = (
    Column("run", "run"),
    Column("role", "role"),
    Column("atpp", "A", "g", drop=2),
    Column("loss", "loss", number, drop=1),
    Column("delta", "ΔL", signed),
    Column("zero_shot_ppl", "PPL before", lambda value: number(value, 2)),
    Column("ppl", "after", lambda value: number(value, 2)),
    Column("bits_per_byte", "bits/byte", number),
)


@click.command()
@click.option("--headless", is_flag=True, help="No full screen: follow on stderr, then print the tables.")
@click.pass_context
def demo(context: click.Context, headless: bool) -> None:
    """Run a miniature odyssey on text this machine already has, once per workspace, and show it.

    Corpora, a base model of three sizes pretrained to three budgets, adaptation over replay ratios, evaluation,
    similarity, token ledger and laws: all real, some minutes on two cores. Whatever was done before is kept.
    """
    invocation: Invocation = context.obj
    if not headless:
        require_terminal("'odyssey demo --headless' follows it as text.")
    workspace = invocation.open_or_create()
    started = start_demo(workspace)
    if not headless:
        open_screen(invocation)
        return
    if started.started:
        click.echo(f"{started.started} runs queued in {workspace.root}", err=True)
        say_logout()
    watched = follow(DemoWatch(workspace, started.run_ids), len(started.run_ids))
    complete = print_tables(context, workspace, started.run_ids)
    for failure in watched.failed:
        click.echo(f"failed: {failure}", err=True)
    if watched.failed or not complete:
        raise SystemExit(Exit.FAILED)


def follow(watch: DemoWatch, total: int) -> Watched:
    """Look until the demo's runs have ended; progress goes to stderr. Ctrl-C stops looking, not the runs."""
    live = sys.stderr.isatty()
    said = float("-inf")
    try:
        while not (watched := watch.look()).finished:
            if live or time.monotonic() - said >= LINE_S:
                said = time.monotonic()
                say_progress(watched, total, live=live)
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        click.echo(
            "\nstopped watching; the runs go on. 'odyssey' shows them, 'odyssey pause' holds the rest.", err=True
        )
        raise SystemExit(Exit.INTERRUPTED) from None
    if live:
        click.echo("\r\x1b[2K", nl=False, err=True)
    return watched


def say_progress(watched: Watched, total: int, *, live: bool) -> None:
    """One line: in place on a terminal, a new one elsewhere."""
    pulse = watched.pulse
    left = f", about {duration(pulse.eta_s)} left" if pulse.eta_s is not None else ""
    line = f"{bar(pulse.share, 12)} {pulse.share:4.0%} {watched.done}/{total} runs{left}"
    text = f"{line}  {pulse.label}" if pulse.label else line
    if live:
        width = shutil.get_terminal_size((80, 24)).columns - 1
        click.echo(f"\r\x1b[2K{text[:width]}", nl=False, err=True)
    else:
        click.echo(text, err=True)


def print_tables(context: click.Context, workspace: Workspace, run_ids: Sequence[str]) -> bool:
    """Everything the demo shows, as the other commands print it; returns whether all of it could be."""
    evaluations = final_evaluations(workspace, run_ids)
    worst = most_worsened(evaluations)
    pair = (worst.zero_shot_evaluation_id, worst.evaluation_id) if worst is not None else None
    sections: list[tuple[str, Callable[[], Any]]] = [
        ("Corpora", lambda: emit_table(CORPORA, [vars(line) for line in list_corpora(workspace)])),
        ("Runs", lambda: call(context, "runs")),
        ("Evaluations, zero-shot and adapted", lambda: emit_table(EVALUATIONS, evaluation_rows(evaluations))),
        ("Similarity against ΔL", lambda: call(context, "similarity")),
        ("Laws of the target loss", lambda: call(context, "forecast")),
        ("Laws of the base loss", lambda: call(context, "forecast", "--role", "base")),
        ("Plan", lambda: call(context, "plan")),
    ]
    if pair is not None:
        sections.insert(4, ("Tokens of the pair that worsened most", lambda: call(context, "tokens", *pair)))
    return all([show_section(title, show) for title, show in sections])


def evaluation_rows(evaluations: Sequence[Any]) -> list[dict[str, Any]]:
    """Evaluations under the keys of EVALUATIONS."""
    return [{**vars(line), "run": line.run_id.rpartition("-")[0]} for line in evaluations]


def call(context: click.Context, name: str, *arguments: str) -> None:
    """Run another command on the same workspace with these arguments and its defaults."""
    group = context.find_root().command
    command = group.get_command(context, name) if isinstance(group, click.Group) else None
    if command is None:
        raise OdysseyError(f"there is no command '{name}'")
    with command.make_context(name, list(arguments), parent=context.parent) as inner:
        command.invoke(inner)


def show_section(title: str, show: Callable[[], Any]) -> bool:
    """A titled part; one that cannot be shown says why on stderr and holds nothing else up."""
    print(f"\n== {title}")
    sys.stdout.flush()
    try:
        show()
    except OdysseyError as error:
        report(error)
        return False
    return True
