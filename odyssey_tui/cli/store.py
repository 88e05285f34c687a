"""``odyssey store``: what keeps the workspace's data honest. A command is a line of ``STORE_COMMANDS``."""

from __future__ import annotations

import click

from odyssey_tui.cli.lazy import Entry, LazyGroup

STORE_COMMANDS: dict[str, Entry] = {
    "check": Entry("odyssey_tui.cli.store_check:check", "Check every invariant of the database and the files."),
    "rebuild": Entry("odyssey_tui.cli.store_copies:rebuild", "Make the database anew; the old one is kept."),
    "backup": Entry("odyssey_tui.cli.store_copies:backup", "Save the database and everything small in one file."),
    "restore": Entry("odyssey_tui.cli.store_copies:restore", "Bring a backup back; what it replaces is kept."),
    "export": Entry("odyssey_tui.cli.export:export", "Write tables, or answers to SQL, as Parquet or CSV."),
    "gc": Entry("odyssey_tui.cli.store_gc:gc", "List what could go, by a quota and by age; --yes deletes it."),
}


@click.group(cls=LazyGroup, entries=STORE_COMMANDS)
def store() -> None:
    """Check, rebuild, back up, restore, export and tidy what is stored."""
