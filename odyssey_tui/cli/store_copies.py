"""``odyssey store rebuild | backup | restore``: other files in the database's place, and copies of it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import emit_table
from odyssey_tui.cli.printing import print_wrapped, say_wrapped
from odyssey_tui.services.format import count, size
from odyssey_tui.services.upkeep import prepared_restoration, rebuild_database, restore_backup

WARNINGS = 5
"""How many are shown."""
EXISTING = click.Path(path_type=Path, exists=True, dir_okay=False, readable=True)


@click.command()
@click.option("--from", "backups", type=EXISTING, multiple=True, help="Take from a backup what is found nowhere else.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def rebuild(invocation: Invocation, backups: tuple[Path, ...], yes: bool) -> int:
    """Make the database anew from the runs' directories and what can be read of the old one, which is kept.

    Losses of single tokens are in the database alone; evaluations for which they are found nowhere are named, and
    status is 1. What `odyssey store gc` dropped stays dropped (`restore` brings it back).
    """
    workspace = invocation.open()
    if not yes:
        click.confirm(f"Make {workspace.database_path} anew? The old one is kept beside it.", abort=True, err=True)
    made = rebuild_database(workspace, backups)
    rows = [
        {"from": salvaged.source.name, "table": table, "rows": rows, "trouble": salvaged.damaged.get(table, "")}
        for salvaged in made.salvaged
        for table, rows in salvaged.rows.items()
        if rows or table in salvaged.damaged
    ]
    emit_table(("from", "table", "rows", "trouble"), rows, title="what only a database holds, and was found in one")
    print_wrapped(f"{made.runs} runs and {made.evaluations} evaluations, from {count(made.report.events)} events")
    for path, reason in made.unreadable.items():
        say_wrapped(f"nothing could be read of {path}: {reason}")
    for warning in made.report.warnings[:WARNINGS]:
        say_wrapped(warning)
    if made.report.warnings[WARNINGS:]:
        say_wrapped(f"and {len(made.report.warnings) - WARNINGS} more: 'odyssey sql \"SELECT * FROM warnings\"'")
    for table, filled in made.refilled.items():
        say_wrapped(f"{table}: {filled} rows come from the cache")
    for table, doubled in made.doubled.items():
        say_wrapped(f"{table}: {doubled} rows stood twice, one of each stays")
    if made.replaced is not None:
        say_wrapped(f"the old database is {made.replaced}")
    for table in made.damaged:
        say_wrapped(f"rows of {table} could not be read: `odyssey store check` says what is missing")
    if not made.without_losses:
        return Exit.FAILED if made.damaged else Exit.OK
    say_wrapped(
        f"{len(made.without_losses)} evaluations have no losses of single tokens: {', '.join(made.without_losses[:5])}"
        f"{', …' if len(made.without_losses) > 5 else ''}; their means, and fits, are whole. "
        "`odyssey store rebuild --from BACKUP` takes them from a backup"
    )
    return Exit.FAILED


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--full", is_flag=True, help="With checkpoints.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.pass_obj
def backup(invocation: Invocation, file: Path | None, full: bool, force: bool) -> None:
    """Save the database and everything small (specifications, journals, notes, experiments) in FILE (.tar.zst).

    Caches are left out, and checkpoints unless --full. The backup is read back and its database opened. Runs go on.
    """
    from store.upkeep.archive import default_name, write_backup

    workspace = invocation.open()
    target = (file or default_name(workspace)).expanduser().absolute()
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; --force replaces it")
    manifest = write_backup(workspace, target, full=full)
    print(target)
    say_wrapped(f"{manifest.runs} runs, {size(target.stat().st_size)}; read back and found whole")


@click.command()
@click.argument("file", type=EXISTING)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def restore(invocation: Invocation, file: Path, yes: bool) -> int:
    """Bring back what `odyssey store backup` saved in FILE: the database, and files of runs that are gone or shorter.

    Shows what would be replaced, then asks; what is replaced is kept. Refused while runs are executed.
    """
    workspace = invocation.open_or_create()
    with prepared_restoration(workspace, file) as staged:
        plan = staged.restoration
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(plan.manifest.created))
        print_wrapped(f"the database of {made} ({count(plan.manifest.rows.get('evaluations', 0))} evaluations)")
        if plan.files:
            more = f" and {len(plan.files) - 3} more" if plan.files[3:] else ""
            print_wrapped(f"files that are missing here, or shorter: {', '.join(plan.files[:3])}{more}")
        if plan.trouble:
            say_wrapped(f"the present database cannot be read: {plan.trouble}")
        elif plan.newer_losses:
            say_wrapped(
                f"losses of single tokens of {plan.newer_losses} evaluations are in the present database alone: they "
                "would be out of use. `odyssey store rebuild --from FILE` keeps both"
            )
        if not yes:
            click.confirm("Replace the present database? It is kept beside it.", abort=True, err=True)
        kept = restore_backup(workspace, staged)
    say_wrapped(f"restored{f'; what was there is {kept}' if kept else ''}")
    return Exit.OK
