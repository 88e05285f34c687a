"""``odyssey adapt``: one adaptation, in the foreground."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import say_error
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.services.adapt import Adaptation, choose_adaptation, describe_elsewhere, progress_line, read_outcome
from odyssey_tui.services.format import duration, number, signed, state_text
from odyssey_tui.services.starts import find_config
from store.errors import OdysseyError

if TYPE_CHECKING:
    from engine.launch.foreground import Foreground, Moment
    from store.run_state import RunState
    from store.workspace import Workspace

LINE_S = 5.0
"""Seconds between lines of progress where stderr is no terminal."""
SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "its terminal was closed"}
EVALUATIONS = (
    Column("state", "at"),
    Column("eval_set", "on"),
    Column("role", "role", drop=2),
    Column("before", "zero-shot", number),
    Column("loss", "adapted", number),
    Column("delta", "ΔL", signed),
    Column("ppl_before", "PPL before", lambda value: number(value, 2), drop=1),
    Column("ppl", "PPL", lambda value: number(value, 2)),
)


class Display:
    """Progress on stderr: one line redrawn on a terminal, else a line every few seconds and at each new phase."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._live = sys.stderr.isatty()
        self._said = (float("-inf"), "", "")
        self.place = 0

    def show(self, moment: Moment) -> None:
        key = (moment.spec.run_id, moment.note or moment.state.phase or moment.state.state)
        at, *last = self._said
        now = time.monotonic()
        if not self._live and (moment.state.finished or (now - at < LINE_S and list(key) == last)):
            return
        self._said = (now, *key)
        width = shutil.get_terminal_size((80, 24)).columns - 1 if self._live else None
        line = progress_line(moment, f"[{self.place}/{self._total}]", width)
        self._write(f"\r\x1b[2K{line}" if self._live else f"{line}\n")

    def settle(self, text: str) -> None:
        """A line that stays."""
        self._write(f"\r\x1b[2K{text}\n" if self._live else f"{text}\n")

    def _write(self, text: str) -> None:
        # A terminal that was closed takes no more lines, and the run is to be stopped properly all the same.
        with contextlib.suppress(OSError):
            click.echo(text, nl=False, err=True)


@click.command()
@click.argument("config")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in adapt.0.atpp=[1].")
@click.option("--run", "name", default="", metavar="NAME", help="Which adaptation, by the beginning of its name.")
@click.option("--follow", is_flag=True, help="Wait for parts that the queue or another command is doing.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def adapt(invocation: Invocation, config: str, overrides: tuple[str, ...], name: str, follow: bool, json: bool) -> None:
    """Run one adaptation of CONFIG here and now, with all it needs; what is done already is not done again.

    Ctrl-C stops it at a checkpoint, twice at once; the same command goes on from there. A closed terminal stops it too:
    `odyssey launch` is for runs that outlive it.
    """
    from engine.launch.experiments import keep_configuration
    from engine.launch.foreground import Foreground

    path = find_config(config)
    adaptation = choose_adaptation(invocation.planned() or invocation.open_or_create(), path, overrides, name)
    workspace = invocation.open_or_create()
    keep_configuration(workspace, adaptation.plan)
    with Foreground(workspace, adaptation.specs) as foreground, stopped_by_signals(foreground):
        agree_to_follow(foreground, follow)
        ended = execute(foreground)
    state = ended or workspace.run(adaptation.spec.run_id).state()
    if json:
        emit_json(as_json(workspace, adaptation, state))
    if foreground.stopped:
        click.echo("stopped; the same command goes on from the last checkpoint", err=True)
        raise SystemExit(Exit.INTERRUPTED)
    if ended is not None:
        say_error(f"{state.state}: {state.reason}", state.hint or "The same command tries again.")
        raise SystemExit(Exit.FAILED)
    if not json:
        print_outcome(workspace, adaptation)


@contextlib.contextmanager
def stopped_by_signals(foreground: Foreground) -> Iterator[None]:
    """Within, a signal that would end the command has it stop its run first; a second one at once."""
    before = {
        number: signal.signal(number, lambda caught, frame: foreground.stop(SIGNALS[signal.Signals(caught)]))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def agree_to_follow(foreground: Foreground, follow: bool) -> None:
    """Ask, or look at the option, whether to wait for runs that somebody else has; OdysseyError if not."""
    if not foreground.elsewhere or follow:
        return
    told = describe_elsewhere(foreground.elsewhere, foreground.specs)
    if sys.stdin.isatty() and sys.stderr.isatty() and click.confirm(f"{told}\nFollow?", default=True, err=True):
        return
    raise OdysseyError(told, "--follow waits for it here; `odyssey cancel RUN` takes it out of the queue.")


def execute(foreground: Foreground) -> RunState | None:
    """Do what is not done, telling how it goes; returns the state of a run that did not get done."""
    display = Display(len(foreground.specs))
    begun: dict[str, float] = {}
    ended: set[str] = set()
    for spec in foreground.specs:
        if foreground.done(spec):
            display.place += 1
            display.settle(f"{state_text('done')} {spec.name} (there already)")

    def look(moment: Moment) -> None:
        run_id = moment.spec.run_id
        if run_id not in begun:
            begun[run_id] = time.monotonic()
            display.place += 1
        display.show(moment)
        if moment.state.finished and run_id not in ended:
            ended.add(run_id)
            took = duration(time.monotonic() - begun[run_id])
            display.settle(f"{state_text(moment.state.state)} {moment.spec.name} ({took})")

    return foreground.work(look)


def print_outcome(workspace: Workspace, adaptation: Adaptation) -> None:
    """Scores on stdout, and on stderr where the weights are."""
    outcome = read_outcome(workspace, adaptation.spec.run_id)
    emit_table(EVALUATIONS, [asdict(line) for line in outcome.evaluations])
    for folder in outcome.checkpoints:
        click.echo(f"kept {folder}", err=True)


def as_json(workspace: Workspace, adaptation: Adaptation, state: RunState) -> dict[str, Any]:
    """The adaptation for scripts; ``state`` is that of the run that ended it."""
    outcome = read_outcome(workspace, adaptation.spec.run_id)
    return {
        "run": adaptation.spec.run_id,
        "name": adaptation.spec.name,
        "state": state.state,
        "reason": state.reason,
        "hint": state.hint,
        "evaluations": [asdict(line) for line in outcome.evaluations],
        "checkpoints": [str(folder) for folder in outcome.checkpoints],
        "needs": [spec.run_id for spec in adaptation.specs[:-1]],
    }
