"""``odyssey import``: runs that other tools recorded, and tables of points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import Column, emit_json, emit_table
from store.names import suggest

KINDS = ("trackio", "tensorboard", "wandb", "points")
SHOWN = 12
"""Places that could not be read, said one by one."""
COLUMNS = (
    Column("state", ""),
    Column("run", "run"),
    Column("experiment", "experiment", drop=2),
    Column("ended", "ended", drop=3),
    Column("values", "values", drop=1),
    Column("points", "points", drop=1),
    Column("source", "from", drop=4),
)


class Pair(click.ParamType):
    """``NAME=VALUE``."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, rest = str(value).partition("=")
        if not equals or not name or not rest:
            self.fail(f"{value!r} is not of the form NAME=VALUE", param, ctx)
        return name.strip(), rest.strip()


@click.command(name="import")
@click.argument("sources", nargs=-1, required=True, metavar="[KIND] PATH…")
@click.option("--experiment", metavar="NAME", help="Experiment they join; default: the tool's project, or the folder.")
@click.option(
    "--map", "mapped", type=Pair(), multiple=True, help="Which metric or column is which, as in loss=eval/loss."
)
@click.option("--where", type=Pair(), multiple=True, help="Of a table: only rows whose column NAME is VALUE.")
@click.option("--dry-run", is_flag=True, help="Say what would be imported; write nothing.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def import_(
    invocation: Invocation,
    sources: tuple[str, ...],
    experiment: str | None,
    mapped: tuple[tuple[str, str], ...],
    where: tuple[tuple[str, str], ...],
    dry_run: bool,
    json: bool,
) -> None:
    """Import runs from PATHs: Trackio databases, TensorBoard folders, W&B run folders, or tables of points.

    What a PATH holds is told by its content; KIND (trackio, tensorboard, wandb, points) says it. The sources are only
    read. Importing again adds what is new. Tables (CSV, Parquet, JSON lines) have a row for each measured loss with N,
    P, D, ρ …; 'odyssey fit' fits laws to them. docs/importing.md says what is read.
    """
    from engine.importers.detect import KINDS as TOOLS
    from odyssey_tui.services.importing import import_runs

    kind, paths = split_kind(sources)
    workspace = (invocation.planned() if dry_run else None) or invocation.open_or_create()
    found = import_runs(
        workspace,
        paths,
        tool=TOOLS[kind] if kind else None,
        experiment=experiment,
        mapped=dict(mapped),
        where=dict(where),
        write=not dry_run,
    )
    rows = [
        {
            "state": run.state,
            "run": run.run_id,
            "experiment": run.experiment,
            "ended": run.recorded.state,
            "values": run.n_values,
            "points": run.n_points,
            "source": str(run.recorded.source),
        }
        for run in found.runs
    ]
    unread = [{"file": str(item.file), "place": item.place, "reason": item.reason} for item in found.unread]
    if json:
        emit_json({"dry_run": dry_run, "runs": rows, "not_read": unread})
    else:
        emit_table(COLUMNS, rows, empty="nothing to import")
        say_unread(unread)
        say_sum(rows, len(unread), dry_run)
    if not rows:
        raise SystemExit(Exit.DATA)


def split_kind(sources: Sequence[str]) -> tuple[str | None, list[Path]]:
    """The kind, where the first word is one, and the paths."""
    first, *rest = sources
    if first in KINDS and (rest or not Path(first).exists()):
        if not rest:
            raise click.UsageError(f"'{first}' is a kind; give the paths to import")
        return first, [Path(path).expanduser() for path in rest]
    if rest and "/" not in first and "." not in first and not Path(first).exists():
        hint = suggest(first, KINDS, f"Kinds: {', '.join(KINDS)}.")
        raise click.UsageError(f"{first!r} is neither a path nor a kind. {hint}")
    return None, [Path(path).expanduser() for path in sources]


def say_unread(unread: Sequence[dict[str, str]]) -> None:
    """What was not imported, on stderr: the first places one by one."""
    if not unread:
        return
    click.echo("\nnot imported:", err=True)
    for item in unread[:SHOWN]:
        place = f", {item['place']}" if item["place"] else ""
        click.echo(f"  {item['file']}{place}: {item['reason']}", err=True)
    if len(unread) > SHOWN:
        click.echo(f"  … and {len(unread) - SHOWN} more (--json lists all)", err=True)


def say_sum(rows: Sequence[dict[str, object]], n_unread: int, dry_run: bool) -> None:
    """One line that counts, on stderr."""
    counts = {state: sum(row["state"] == state for row in rows) for state in ("new", "longer", "changed", "known")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    would = "would import" if dry_run else "imported"
    click.echo(
        f"\n{would} {len(rows)} run{'' if len(rows) == 1 else 's'} ({told or 'none'}); {n_unread} not imported",
        err=True,
    )
