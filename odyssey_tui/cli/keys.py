"""``odyssey keys``: the table of keys, for reading and for rebinding."""

from __future__ import annotations

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_table, table_options
from odyssey_tui.cli.printing import say_wrapped

COLUMNS = (Column("id", "action"), Column("keys", "keys"), Column("help", "what it does", drop=1))


@click.command()
@click.argument("scope", required=False)
@table_options
@click.pass_obj
def keys(_invocation: Invocation, scope: str | None, json: bool, csv: bool, latex: bool) -> None:
    """List the actions of the screens with the keys that trigger them, those of your settings included.

    SCOPE (app, screen, table, chart, or a screen's name) lists one scope. Another key for an action is a line of the
    settings file: 'keys: {runs.mark: v}' (docs/settings.md).
    """
    from odyssey_tui.keymap import ACTIONS, SCOPE_TITLES, shown_keys
    from odyssey_tui.settings import load_settings, settings_path
    from store.errors import ConfigError
    from store.names import suggest

    if scope is not None and scope not in SCOPE_TITLES:
        raise ConfigError(f"there is no scope '{scope}'", suggest(scope, SCOPE_TITLES, f"{', '.join(SCOPE_TITLES)}."))
    rebound = load_settings().keys
    chosen = [action for action in ACTIONS if scope in (None, action.scope)]
    rows = [{"id": action.id, "keys": shown_keys(action, rebound), "help": action.help} for action in chosen]
    emit_table(COLUMNS, rows, json=json, csv=csv, latex=latex)
    if not (json or csv or latex):
        say_wrapped(f"rebound in {settings_path()}: {', '.join(rebound) or 'nothing'}")
