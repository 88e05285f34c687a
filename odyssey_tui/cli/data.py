"""``odyssey data``: corpora and evaluation sets as a table, and the format audits of one."""

from __future__ import annotations

import click

from odyssey_tui.cli.audit import TOP, print_audits, table_choice
from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.data_tables import COLUMNS, HIDDEN, flatten


@click.command()
@click.argument("name", required=False)
@click.option("--filter", "-f", "text", default="", help="For example 'kind=corpus and audit=serious', ~TEXT.")
@table_choice
@click.option("--top", type=click.IntRange(min=1, max=20), default=TOP, show_default=True, help="Token types listed.")
@click.option("--full", is_flag=True, help="With NAME: print each of its audits in full.")
@table_options
@click.pass_obj
def data(
    invocation: Invocation,
    name: str | None,
    text: str,
    table: str | None,
    top: int,
    full: bool,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """List what is trained on and scored: corpora, then evaluation sets; with NAME its format audits.

    Audits are made when runs prepare their texts, and by `odyssey audit CONFIG`. Tokens of a corpus are those of its
    train split; line ends are counted in 1,000 characters.
    """
    from odyssey_tui.services.data import list_texts, parse, read_audits

    if name is not None and text:
        raise click.UsageError("--filter belongs to the list: leave NAME out")
    if name is None and (full or table):
        raise click.UsageError(f"--{'full' if full else 'table'} belongs to the audits of one text: give NAME")
    workspace = invocation.open()
    if name is not None:
        audits = read_audits(workspace, name)
        print_audits(audits, table=table, full=full, top=top, json=json, csv=csv, latex=latex)
        return
    chosen = parse(text)
    rows = [row for row in list_texts(workspace) if chosen.accepts(row.record())]
    if json:
        if csv or latex:
            raise click.UsageError("--json, --csv and --latex exclude each other")
        emit_json([row.record() for row in rows])
        return
    columns = [*COLUMNS, *HIDDEN] if csv else COLUMNS
    empty = "no text passes the filter" if text else "no texts yet: they appear when an experiment's runs prepare them"
    emit_table(columns, flatten(rows), csv=csv, latex=latex, empty=empty)
    if rows and not (csv or latex) and all(row.level is None for row in rows):
        print()
        print_wrapped("None of these texts has a format audit yet: `odyssey audit CONFIG` makes them.")
