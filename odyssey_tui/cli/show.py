"""``odyssey show`` and ``odyssey logs``: one run."""

from __future__ import annotations

import codecs
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.format import duration, number, signed, state_text
from odyssey_tui.services.queue import ENDED_EARLY, has_ended, read_queue
from odyssey_tui.services.runs import find_run_ids

if TYPE_CHECKING:
    from store.run_dir import AttemptDir
    from store.workspace import Workspace

FOLLOW_S = 0.3
LAST_WORDS = 5
"""Lines of the console that are shown of a run that failed or got lost."""
ENDED_BADLY = frozenset({"failed", "lost"})
WAITING = frozenset({"queued", "held"})
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
@click.option("--card", is_flag=True, help="Print Markdown with all that it takes to make the run again.")
@table_options
@click.pass_obj
def show(invocation: Invocation, run: str, card: bool, json: bool, csv: bool, latex: bool) -> None:
    """Show RUN (an id, a name or an unambiguous beginning): state, evaluations before and after, configuration.

    --card is for a run's appendix: scores, the commands that make it again, code and versions, hashes of the texts,
    the configuration. Of a fit, too.
    """
    from odyssey_tui.services.run_detail import read_detail

    if card + json + csv + latex > 1:
        raise click.UsageError("--card, --json, --csv and --latex exclude each other")
    workspace = invocation.open()
    if card:
        from odyssey_tui.services.card import write_card

        sys.stdout.write(write_card(workspace, find_run_ids(workspace, [run])[0]))
        return
    detail = read_detail(workspace, find_run_ids(workspace, [run])[0], log_lines=LAST_WORDS)
    row = detail.row
    if row.state in WAITING:
        row = replace(row, reason=find_reason(workspace, row.run_id) or row.reason)
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
    print(f"{row.name}  {state_text(row.state)}{share}{left}")
    print_wrapped(f"{row.run_id} · attempt {detail.attempt} · {detail.where}")
    if detail.lineage:
        print_wrapped(f"from {' → '.join(detail.lineage)}")
    if row.reason:
        print(f"{row.reason}\n  {detail.hint}" if detail.hint else row.reason)
    if row.state in ENDED_BADLY:
        for line in detail.log:
            print(f"  | {line}")
    for line in detail.history:
        print(line)
    for warning in detail.warnings:
        print_wrapped(warning, bullet="! ")
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
@click.option("--follow", "-f", is_flag=True, help="Go on printing, also of further attempts, until the run ends.")
@click.pass_obj
def logs(invocation: Invocation, run: str, follow: bool) -> None:
    """Print what RUN's newest attempt wrote to its console; of a run that ended otherwise than done, why."""
    workspace = invocation.open()
    directory = workspace.run(find_run_ids(workspace, [run])[0])
    newest = directory.latest_attempt()
    console = Console(newest) if newest is not None else None
    if console is not None:
        console.print_more()
    else:
        click.echo("it has not started yet", err=True)
    while follow:
        ended = has_ended(workspace, directory)
        for attempt in directory.attempts():
            if console is None or attempt.number > console.attempt:
                click.echo(f"attempt {attempt.number}", err=True)
                console = Console(attempt)
            if attempt.number == console.attempt:
                # What an attempt wrote last is printed before the next one's console is.
                console.print_more()
        if ended:
            break
        time.sleep(FOLLOW_S)
    state = directory.state()
    if state.state in ENDED_EARLY and has_ended(workspace, directory):
        click.echo(f"{state.state}: {state.reason}" if state.reason else state.state, err=True)
        if state.hint:
            click.echo(f"  {state.hint}", err=True)


class Console:
    """The console of one attempt, printed as it grows."""

    def __init__(self, attempt: AttemptDir) -> None:
        self.attempt = attempt.number
        self._path = attempt.console
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def print_more(self) -> None:
        """Copy to stdout what was written since."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        self._offset += len(content)
        sys.stdout.write(self._decoder.decode(content))
        sys.stdout.flush()


def find_reason(workspace: Workspace, run_id: str) -> str:
    """What a run that is not finished waits for, as the queue says it."""
    return next((entry.reason for entry in read_queue(workspace).entries if entry.run_id == run_id), "")
