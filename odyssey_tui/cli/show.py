"""``odyssey show`` and ``odyssey logs``: one run."""

from __future__ import annotations

import codecs
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.numbers import Number
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped
from odyssey_tui.services.curve_names import X_AXES
from odyssey_tui.services.format import duration, state_text
from odyssey_tui.services.logs import find_lines, plain_line
from odyssey_tui.services.queue import ENDED_EARLY, has_ended, read_queue
from odyssey_tui.services.run_tables import EVALUATIONS, detail_record
from odyssey_tui.services.runs import find_run_ids
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.services.run_detail import RunDetail
    from store.run_dir import AttemptDir, RunDir
    from store.workspace import Workspace

FOLLOW_S = 0.3
LAST_WORDS = 5
"""Lines of the console that are shown of a run that failed or got lost."""
ENDED_BADLY = frozenset({"failed", "lost"})
WAITING = frozenset({"queued", "held"})


@click.command()
@click.argument("run")
@click.option("--card", is_flag=True, help="Print Markdown with all that it takes to make the run again.")
@click.option("--metric", "-m", help="Also draw this metric: loss, tokens_per_s, lr, memory_bytes, …")
@click.option("--x", "axis", type=click.Choice(list(X_AXES)), default="tokens", show_default=True, help="Its x axis.")
@click.option("--smooth", type=Number(0, 1, max_open=True), default=0.0, help="Average it: 0.9, say.")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the curve (of the loss), as .svg or .png.")
@table_options
@click.pass_obj
def show(
    invocation: Invocation,
    run: str,
    card: bool,
    metric: str | None,
    axis: str,
    smooth: float,
    svg: Path | None,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
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
    if metric is not None and metric not in detail.metrics:
        known = ", ".join(detail.metrics) or "it wrote none yet"
        hint = suggest(metric, detail.metrics, f"There is: {known}.")
        raise ConfigError(f"{detail.row.name} wrote no metric '{metric}'", hint)
    if svg is not None:
        from odyssey_tui.services.figure_export import save_figure

        figure = draw_curve(workspace, detail, metric or "loss", axis, smooth)
        click.echo(f"wrote {save_figure(figure, svg)}", err=True)
    row = detail.row
    if row.state in WAITING:
        row = replace(row, reason=find_reason(workspace, row.run_id) or row.reason)
    evaluations = [asdict(line) for line in detail.evaluations]
    if json:
        emit_json(detail_record(replace(detail, row=row)))
        return
    if csv or latex:
        emit_table(EVALUATIONS, evaluations, csv=csv, latex=latex)
        return
    left = f", {duration(row.eta_s)} left" if row.eta_s is not None and row.state == "running" else ""
    share = f" {row.share:.0%}" if row.share is not None and row.state == "running" else ""
    print(f"{row.name}  {state_text(row.state)}{share}{left}")
    print_wrapped(f"{row.run_id} · attempt {detail.attempt} · {detail.where}")
    for line in detail.descent:
        print_wrapped(line)
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
    if metric is not None:
        print()
        print_figure(draw_curve(workspace, detail, metric, axis, smooth))


def draw_curve(workspace: Workspace, detail: RunDetail, metric: str, axis: str, smooth: float) -> Figure:
    """A metric of the run over an axis, averaged if that is wished."""
    from odyssey_tui.plots.smoothing import smoothed
    from odyssey_tui.services.curves import curve_figure, read_curves

    curves = read_curves(workspace, [detail.row.run_id], metric, axis)
    figure = curve_figure(curves, metric, axis)
    figure.title = detail.row.name
    return smoothed(figure, smooth)


@click.command()
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on printing, also of further attempts, until the run ends.")
@click.option("--tail", "-n", "lines", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines.")
@click.option("--search", "-s", "sought", metavar="TEXT", help="Only lines that hold TEXT, whatever its case.")
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt, not of the newest.")
@click.pass_obj
def logs(
    invocation: Invocation, run: str, follow: bool, lines: int | None, sought: str | None, attempt: int | None
) -> None:
    """Print what RUN's newest attempt wrote to its console; of a run that ended otherwise than done, why.

    On a terminal nothing in it moves the cursor; what is piped on is as it was written.
    """
    if follow and attempt is not None:
        raise click.UsageError("--follow goes with the newest attempt; leave --attempt out")
    workspace = invocation.open()
    directory = workspace.run(find_run_ids(workspace, [run])[0])
    newest = choose_attempt(directory, attempt)
    console = Console(newest, sought) if newest is not None else None
    if console is not None:
        console.print_more(lines)
    else:
        click.echo("it has not started yet", err=True)
    while follow:
        ended = has_ended(workspace, directory)
        for one in directory.attempts():
            if console is None or one.number > console.attempt:
                if console is not None:
                    console.finish()
                click.echo(f"attempt {one.number}", err=True)
                console = Console(one, sought)
            if one.number == console.attempt:
                # What an attempt wrote last is printed before the next one's console is.
                console.print_more()
        if ended:
            break
        time.sleep(FOLLOW_S)
    if console is not None:
        console.finish()
    state = directory.state()
    if state.state in ENDED_EARLY and has_ended(workspace, directory):
        click.echo(f"{state.state}: {state.reason}" if state.reason else state.state, err=True)
        if state.hint:
            click.echo(f"  {state.hint}", err=True)


def choose_attempt(directory: RunDir, number: int | None) -> AttemptDir | None:
    """The attempt of this number, else the newest; None before the first. Raises ConfigError for one that is not."""
    if number is None:
        return directory.latest_attempt()
    attempts = {one.number: one for one in directory.attempts()}
    if number not in attempts:
        there = f"There are {', '.join(map(str, attempts))}." if attempts else "It has not started yet."
        raise ConfigError(f"the run has no attempt {number}", there)
    return attempts[number]


class Console:
    """The console of one attempt, printed as it grows: as it was written, or line by line where lines are chosen or a
    terminal shows them."""

    def __init__(self, attempt: AttemptDir, sought: str | None = None) -> None:
        self.attempt = attempt.number
        self._path = attempt.console
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sought = sought
        self._rest = ""

    def print_more(self, last: int | None = None) -> None:
        """Copy to stdout what was written since; of it the ``last`` lines only."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        self._offset += len(content)
        text = self._decoder.decode(content)
        shown = sys.stdout.isatty()
        if not shown and self._sought is None and last is None and not self._rest:
            sys.stdout.write(text)
        else:
            self._print_lines(text, last, plain=shown)
        sys.stdout.flush()

    def _print_lines(self, text: str, last: int | None, *, plain: bool) -> None:
        """Whole lines; what has not ended yet is printed when it has, or at the end of all."""
        *lines, self._rest = (self._rest + text).split("\n")
        if plain:
            lines = [plain_line(line) for line in lines]
        if self._sought is not None:
            lines = [lines[index] for index in find_lines(lines, self._sought)]
        kept = lines if last is None else lines[len(lines) - min(last, len(lines)) :]
        sys.stdout.write("".join(f"{line}\n" for line in kept))

    def finish(self) -> None:
        """Print a last line that never ended."""
        if self._rest:
            self._print_lines("\n", None, plain=sys.stdout.isatty())


def find_reason(workspace: Workspace, run_id: str) -> str:
    """What a run that is not finished waits for, as the queue says it."""
    return next((entry.reason for entry in read_queue(workspace).entries if entry.run_id == run_id), "")
