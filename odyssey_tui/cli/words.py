"""Words for a shell that completes the command line: runs, states, experiments, configurations, files, laws.

``COMPLETERS`` says by the name of an option or argument what completes it, so that a command need not. Only files are
read, never the database: a shell waits for the answer, and nothing may be written for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from store.errors import OdysseyError

if TYPE_CHECKING:
    from store.workspace import Workspace

Completer = Callable[[click.Context, str], Iterable[CompletionItem]]


def attach(command: click.Command) -> None:
    """Have the parameters of ``command`` that ``COMPLETERS`` knows completed by it."""
    for parameter in command.params:
        completer = next((COMPLETERS[name] for name in (*parameter.opts, parameter.name) if name in COMPLETERS), None)
        if completer is not None:
            parameter.shell_complete = _quiet(completer)  # type: ignore[method-assign]


def _quiet(completer: Completer) -> Callable[[click.Context, str], list[CompletionItem]]:
    """What cannot be read completes nothing: the command itself says why."""

    def complete(context: click.Context, incomplete: str) -> list[CompletionItem]:
        try:
            return list(completer(context, incomplete))
        except (OdysseyError, OSError):
            return []

    return complete


def _workspace(context: click.Context) -> Workspace:
    return context.find_root().obj.open()


def complete_runs(context: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Ids of runs, which begin with their names; not those that the line has already."""
    given = context.params.values()
    there = {word for value in given for word in (value if isinstance(value, tuple) else (value,)) if word}
    for run_id in _workspace(context).run_ids():
        if run_id.startswith(incomplete) and run_id not in there:
            yield CompletionItem(run_id)


def complete_states(context: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """RUN, then RUN@STATE; a folder or file where the word looks like one."""
    run_id, at, beginning = incomplete.partition("@")
    if at:
        folder = _workspace(context).runs / run_id / "checkpoints"
        names = sorted(path.name for path in folder.iterdir() if path.name != "resume")
        yield from (CompletionItem(f"{run_id}@{name}") for name in names if name.startswith(beginning))
        return
    found = [] if "/" in incomplete else list(complete_runs(context, incomplete))
    yield from found or complete_files(context, incomplete)


def complete_experiments(context: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Names of the experiments that have runs here."""
    from odyssey_tui.services.queue import list_experiments

    for name in list_experiments(_workspace(context)):
        if name.startswith(incomplete):
            yield CompletionItem(name)


def complete_configs(context: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Ready experiments by name and the YAML files of this folder; any file where the word looks like a path."""
    from odyssey_tui.services.starts import list_ready

    ready = [CompletionItem(source.name) for source in list_ready() if source.name.startswith(incomplete)]
    here = sorted(path.name for pattern in ("*.yaml", "*.yml") for path in Path.cwd().glob(pattern))
    found = [*ready, *(CompletionItem(name) for name in here if name.startswith(incomplete))]
    if context.info_name == "launch" and not found:
        found = _complete_starts(context, incomplete)
    yield from found or complete_files(context, incomplete)


def _complete_starts(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """What ``launch`` can start from in this workspace: experiments launched here, and runs."""
    from odyssey_tui.services.starts import list_launched

    try:
        launched = [source.path.stem for source in list_launched(_workspace(context))]
        runs = list(complete_runs(context, incomplete)) if incomplete else []
    except OdysseyError:  # there is no workspace yet
        return []
    return [*(CompletionItem(name) for name in launched if name.startswith(incomplete)), *runs]


def complete_files(_context: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Files and folders, by the shell itself."""
    yield CompletionItem(incomplete, type="file")


def complete_forms(_context: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Forms of laws."""
    from engine.laws.forms import REGISTRY

    yield from (CompletionItem(name) for name in REGISTRY if name.startswith(incomplete))


COMPLETERS: Mapping[str, Completer] = {
    "run": complete_runs,
    "runs": complete_runs,
    "before": complete_states,
    "after": complete_states,
    "--before": complete_states,
    "--after": complete_states,
    "--model": complete_states,
    "experiment": complete_experiments,
    "experiments": complete_experiments,
    "config": complete_configs,
    "--form": complete_forms,
    "--text": complete_files,
    "--train": complete_files,
    "--eval": complete_files,
    "--per-token": complete_files,
    "more": complete_files,
    "sources": complete_files,
}
"""By the option (``--text``) or the name of the parameter (``runs``); the option counts first."""
