"""``odyssey`` without a command: the full-screen application."""

from __future__ import annotations

import gc
import os
import sys

from odyssey_tui.cli.context import Invocation
from store.errors import ConfigError


def open_screen(invocation: Invocation) -> None:
    """Open the application on the workspace; refuses with exit status 2 where there is no terminal to draw on."""
    require_terminal()
    # What a start makes stays: looking through it for garbage takes a tenth of the time until the first rows.
    gc.disable()
    from odyssey_tui.app import OdysseyApp
    from odyssey_tui.settings import load_settings

    settings = load_settings()
    app = OdysseyApp(invocation.open_or_create(), settings)
    try:
        app.run()
    finally:
        # What is never looked through is never let go of, and DuckDB prints a page about that to the terminal.
        gc.unfreeze()
        gc.enable()
    if app.return_code:
        raise SystemExit(app.return_code)


def require_terminal(instead: str = "'odyssey runs' prints the runs as text.") -> None:
    """Raise ConfigError, whose hint says what to do ``instead``, unless stdin and stdout are a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise ConfigError(
            "the full-screen application needs a terminal, and this is none",
            f"{instead} 'odyssey --help' lists every command.",
        )
