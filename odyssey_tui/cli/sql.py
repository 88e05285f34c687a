"""``odyssey sql``: any question to the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import emit_table, table_options
from odyssey_tui.services.sql import ask
from store.errors import DataError


@click.command()
@click.argument("statement", required=False)
@table_options
@click.pass_obj
def sql(invocation: Invocation, statement: str | None, json: bool, csv: bool, latex: bool) -> None:
    """Answer STATEMENT (DuckDB's SQL, read-only) from the database; without one, what is typed or piped in."""
    workspace = invocation.open()

    def print_answer(text: str) -> None:
        found = ask(workspace, text)
        emit_table(found.columns, found.rows, json=json, csv=csv, latex=latex, empty="no rows")

    if statement is not None:
        print_answer(statement)
    elif not sys.stdin.isatty():
        print_answer(sys.stdin.read())
    else:
        for typed in _typed():
            try:
                print_answer(typed)
            except DataError as error:
                click.echo(str(error), err=True)


def _typed() -> Iterator[str]:
    """Statements from a terminal, each ended by a semicolon, until the end of input."""
    import readline  # noqa: F401  (importing it gives input() a history and an editable line)

    click.echo("SQL, ended by a semicolon; SHOW TABLES; lists the tables, Ctrl-D leaves", err=True)
    lines: list[str] = []
    while True:
        try:
            lines.append(input("  … " if lines else "sql> "))
        except EOFError:
            click.echo(err=True)
            return
        if lines[-1].rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []
