"""Groups of commands whose modules are imported only when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from odyssey_tui.cli.context import DEFAULT_WORKSPACE, WORKSPACE_VARIABLE
from store.names import suggest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """A sub-command: where its click command lives and what ``--help`` says without importing it."""

    target: str
    help: str


def workspace_option() -> click.Option:
    """``--workspace``, accepted by every group and command."""

    def remember(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            context.find_root().obj.workspace_path = value

    return click.Option(
        ["--workspace", "-w"],
        type=click.Path(path_type=Path),
        callback=remember,
        expose_value=False,
        help=f"Where runs live (or {WORKSPACE_VARIABLE}; default ./{DEFAULT_WORKSPACE}).",
    )


class LazyGroup(click.Group):
    """A group that imports a sub-command's module only when that sub-command is called."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        if not any(parameter.name == "workspace" for parameter in command.params):
            command.params.append(workspace_option())
        if ctx is not None and ctx.resilient_parsing:  # a shell asks what could be typed here
            from odyssey_tui.cli.words import attach

            attach(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Sub-commands with their help, none of which is imported for it; else options."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        found = ((name, entry.help) for name, entry in self.entries.items() if name.startswith(incomplete))
        return [CompletionItem(name, help=text) for name, text in found]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            hint = suggest(name, self.entries, f"'{ctx.command_path} --help' lists the commands.")
            raise click.UsageError(f"There is no command '{name}'. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])
