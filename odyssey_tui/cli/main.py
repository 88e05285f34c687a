"""The ``odyssey`` command: a lazy group of sub-commands and the one path every error takes to the user."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from odyssey_tui.cli.context import DEFAULT_WORKSPACE, WORKSPACE_VARIABLE, Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.lazy import Entry, LazyGroup, workspace_option
from store.errors import OdysseyError

COMMANDS: dict[str, Entry] = {
    "demo": Entry("odyssey_tui.cli.demo:demo", "Run a miniature odyssey on text this machine already has."),
    "runs": Entry("odyssey_tui.cli.runs:runs", "List runs, with filters."),
    "show": Entry("odyssey_tui.cli.show:show", "Show one run: state, evaluations, configuration."),
    "logs": Entry("odyssey_tui.cli.show:logs", "Print a run's log; -f follows it."),
    "fetch": Entry("odyssey_tui.cli.fetch:fetch", "Download what an experiment reads; queue nothing."),
    "launch": Entry("odyssey_tui.cli.launch:launch", "Expand an experiment into runs and queue them."),
    "audit": Entry("odyssey_tui.cli.audit:audit", "Compare the format of training and evaluation text."),
    "adapt": Entry("odyssey_tui.cli.adapt:adapt", "Run one adaptation here, with a progress bar."),
    "evaluate": Entry("odyssey_tui.cli.evaluate:evaluate", "Score any model on any text, without a workspace."),
    "drift": Entry("odyssey_tui.cli.drift:drift", "Show what moved in a model, and which of it changed the loss."),
    "queue": Entry("odyssey_tui.cli.queue:queue", "Show what runs, what waits and for how long."),
    "cancel": Entry("odyssey_tui.cli.requests:cancel", "Cancel runs, or an experiment."),
    "retry": Entry("odyssey_tui.cli.requests:retry", "Queue failed, cancelled or lost runs again."),
    "pause": Entry("odyssey_tui.cli.requests:pause", "Start no further runs, or hold some back."),
    "resume": Entry("odyssey_tui.cli.requests:resume", "Start queued runs again, or let go of held ones."),
    "move": Entry("odyssey_tui.cli.requests:move", "Change the order in which waiting runs start."),
    "gpus": Entry("odyssey_tui.cli.gpus:gpus", "Show this machine's GPUs and whose processes use them."),
    "compare": Entry("odyssey_tui.cli.compare:compare", "Show runs side by side: what differs, what it did."),
    "data": Entry("odyssey_tui.cli.data:data", "List corpora and evaluation sets, with their format audits."),
    "similarity": Entry("odyssey_tui.cli.similarity:similarity", "Show ΔL against similarity to the pretraining text."),
    "matrix": Entry("odyssey_tui.cli.matrix:matrix", "Show ΔL of every adaptation on every text."),
    "repairs": Entry("odyssey_tui.cli.repairs:repairs", "Compare ways to adapt to one domain: variants, methods, ..."),
    "tokens": Entry("odyssey_tui.cli.tokens:tokens", "Show which token types carry the change of loss."),
    "fit": Entry("odyssey_tui.cli.fit:fit", "Fit the scaling laws again, on everything measured."),
    "forecast": Entry("odyssey_tui.cli.forecast:forecast", "Draw a fitted law and list the scores of all."),
    "plan": Entry("odyssey_tui.cli.plan:plan", "Find the replay ratio and budget that keep within limits."),
    "import": Entry("odyssey_tui.cli.import_:import_", "Import runs of other tools, and tables of measured losses."),
    "sql": Entry("odyssey_tui.cli.sql:sql", "Ask the database anything, in SQL (read-only)."),
    "delete": Entry("odyssey_tui.cli.delete:delete", "Delete runs; first show what would go."),
    "keys": Entry("odyssey_tui.cli.keys:keys", "List the keys of the screens, as they are bound now."),
    "doctor": Entry("odyssey_tui.cli.doctor:doctor", "Say what could keep odyssey from working here, and the fix."),
    "completion": Entry("odyssey_tui.cli.completion:completion", "Print the script that completes words in a shell."),
    "store": Entry("odyssey_tui.cli.store:store", "Check, rebuild, back up, restore, export and tidy what is stored."),
}


class Commands(LazyGroup):
    """All commands; the one place that knows how a pipe's end ends them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # click itself would make this a failure with status 1.
            raise SystemExit(leave_pipe()) from None


@click.group(
    cls=Commands,
    entries=COMMANDS,
    invoke_without_command=True,
    params=[workspace_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="odyssey-tui", prog_name="odyssey")
@click.pass_context
def odyssey(context: click.Context) -> None:
    """Adapt language models to domains and see what it did, from the terminal.

    Without a command: the full-screen application on the workspace.
    """
    if context.invoked_subcommand is None:
        from odyssey_tui.cli.screen import open_screen

        open_screen(context.obj)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; every error is shown once, on stderr, without a traceback."""
    reopen_streams()
    invocation = Invocation(Path(os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE))
    try:
        status = odyssey.main(
            args=None if arguments is None else list(arguments),
            prog_name="odyssey",
            standalone_mode=False,
            obj=invocation,
        )
        sys.stdout.flush()
    except BaseException as error:
        return report(error)
    return int(status) if isinstance(status, int) else Exit.OK


def reopen_streams() -> None:
    """Put the null device where the caller closed a standard stream: the next file opened would take its place.

    A stream whose encoding lacks a character writes its number instead.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name, mode in ("stdin", "r"), ("stdout", "w"), ("stderr", "w"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - lives as long as the process
    for stream in sys.stdout, sys.stderr:
        # Where the locale has no Δ or ✓ they are written as \u0394: ugly, but no error, and in JSON the same character.
        if isinstance(stream, io.TextIOWrapper) and "utf" not in stream.encoding.lower():
            stream.reconfigure(errors="backslashreplace")


def report(error: BaseException) -> int:
    """Tell the user about ``error`` and return the exit status it stands for."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case BrokenPipeError():
            return leave_pipe()
        case SystemExit():
            return error.code if isinstance(error.code, int) else Exit.FAILED
        case click.Abort() if not isinstance(error.__cause__, KeyboardInterrupt):
            click.echo("not confirmed: nothing was done", err=True)
            return Exit.INTERRUPTED
        case KeyboardInterrupt() | click.Abort():
            click.echo("interrupted", err=True)
            return Exit.INTERRUPTED
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            say_error(f"cannot write {error.filename or 'the output'}: {error.strerror}", "Free some space.")
            silence_stdout()
            return Exit.FAILED
        case OdysseyError():
            say_error(error.message, error.hint)
            return error.exit_code
        case click.ClickException():
            return say_usage(error)
        case _:
            return say_bug(error)


def leave_pipe() -> int:
    """The reader of stdout has left: no error, and the interpreter's last flush must not make it one."""
    silence_stdout()
    return Exit.BROKEN_PIPE


def silence_stdout() -> None:
    """Send what is still buffered for stdout nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def say_error(message: str, hint: str = "") -> None:
    """``error: message`` and, indented, the hint; on stderr, in lines that fit where that is a terminal."""
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(fold(f"error: {message}", "")[len("error: ") :], err=True)
    if hint:
        click.echo(fold(hint, "  "), err=True)


def fold(text: str, indent: str) -> str:
    """The lines of ``text``, each folded to the terminal's width; as they are where stderr is none."""
    lines = [indent + line for line in text.split("\n")]
    if not sys.stderr.isatty():
        return "\n".join(lines)
    from textwrap import fill

    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return "\n".join(
        fill(line, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False) for line in lines
    )


def say_usage(error: click.ClickException) -> int:
    """A wrong option or argument: what is wrong and which help to read."""
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "odyssey"
    say_error(error.format_message(), f"'{command} --help' lists what it takes.")
    return Exit.USAGE


def say_bug(error: BaseException) -> int:
    """An unexpected exception: one line, and the file that holds the traceback."""
    from odyssey_tui.cli.bug import write_traceback

    say_error(f"{type(error).__name__}: {error}", f"This is a bug; the traceback is in {write_traceback(error)}")
    return Exit.BUG
