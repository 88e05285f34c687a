"""``odyssey store export``: tables and answers as Parquet or CSV."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.services.exporting import export_all
from odyssey_tui.services.format import count

COLUMNS = (
    Column("what", "table"),
    Column("rows", "rows", ","),
    Column("n_bytes", "bytes", count),
    Column("file", "file", drop=1),
)


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE|QUERY]…")
@click.option(
    "--to", "target", required=True, type=click.Path(path_type=Path), help="A folder; or FILE.parquet, FILE.csv."
)
@click.option("--format", "form", type=click.Choice(["parquet", "csv"]), help="In a folder; default: parquet.")
@click.option("--force", is_flag=True, help="Write files anew that are there already.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def export(
    invocation: Invocation, tables: tuple[str, ...], target: Path, form: str | None, force: bool, json: bool
) -> None:
    """Write tables, views or answers to SQL queries to files; without any named, every table.

    token_losses comes as a long table, a row for each token: evaluation, block and position, document, token, class,
    loss.
    """
    rows = [
        {**asdict(done), "what": " ".join(done.what.split()), "file": str(done.file)}
        for done in export_all(invocation.open(), tables, target.expanduser(), form, force=force)
    ]
    if json:
        emit_json(rows)
    else:
        emit_table(COLUMNS, rows, empty="nothing to export")
