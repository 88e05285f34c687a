"""``odyssey runs``: the runs as a table."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import say_wrapped
from odyssey_tui.services.filter import UnknownKeyError
from odyssey_tui.services.run_groups import SORTS, UNGROUPED
from odyssey_tui.services.run_list import RunLister
from odyssey_tui.services.run_tables import group_records, run_columns, seed_columns, unit_record
from odyssey_tui.services.runs import compare_losses, parse
from odyssey_tui.services.upkeep import count_lost_losses

if TYPE_CHECKING:
    from odyssey_tui.services.run_list import Listing


@click.command()
@click.option("--filter", "-f", "text", default="", help="For example 'domain=tests and replay>=0.1 and state=done'.")
@click.option("--sort", type=click.Choice(SORTS), default=SORTS[0], show_default=True, help="Order of the runs.")
@click.option("--group", "-g", default=UNGROUPED, metavar="KEY", help="Group by a column or a configuration's key.")
@click.option("--seeds", is_flag=True, help="Join runs that differ in their seed alone: mean and standard deviation.")
@table_options
@click.pass_obj
def runs(
    invocation: Invocation, text: str, sort: str, group: str, seeds: bool, json: bool, csv: bool, latex: bool
) -> None:
    """List runs, in the order they were planned.

    The filter joins conditions with 'and': KEY=VALUE (also != >= <= > <), tag:NAME, ~TEXT. Keys are the columns and
    those of the configurations, as in training.lr<0.001.
    """
    from store.cautions import list_cautions

    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    check_filter(text)
    workspace = invocation.open()
    listing = RunLister(workspace).read(text, sort=sort, group=group, seeds=seeds or (json and group != UNGROUPED))
    rows = [row for one in listing.groups for row in one.rows]
    if json:
        emit_json(plain_listing(listing, grouped=group != UNGROUPED, seeds=seeds))
    else:
        print_listing(listing, grouped=group != UNGROUPED, seeds=seeds, csv=csv, latex=latex, filtered=bool(text))
    fair = compare_losses(rows)
    if not fair.per_token:
        say_wrapped(f"note: {fair.sentence}")
    if not (json or csv or latex) and (lost := count_lost_losses(workspace)):
        say_wrapped(
            f"{lost} evaluations have no losses of single tokens, which the database alone held: "
            "'odyssey store check' says what can be done"
        )
    for caution in list_cautions(workspace):
        say_wrapped(f"! {caution}")


def check_filter(text: str) -> None:
    """Raise FilterError for what no workspace could make right: which keys configurations have is known only there."""
    with contextlib.suppress(UnknownKeyError):
        parse(text)


def plain_listing(listing: Listing, *, grouped: bool, seeds: bool) -> object:
    """As JSON has it: a list of runs, or of joined seeds; by group where there are groups."""
    if grouped:
        return group_records(listing.groups)
    if seeds:
        return [unit_record(unit) for one in listing.groups for unit in one.units]
    return [row.record() for one in listing.groups for row in one.rows]


def print_listing(listing: Listing, *, grouped: bool, seeds: bool, csv: bool, latex: bool, filtered: bool) -> None:
    """One table; in text one for each group, in files a column that names it."""
    every = [row for one in listing.groups for row in one.rows]
    columns = (seed_columns if seeds else run_columns)(every, whole=csv)
    tables = [
        (one.name, [unit_record(unit) for unit in one.units] if seeds else [row.record() for row in one.rows])
        for one in listing.groups
    ]
    if csv or latex or not grouped:
        named = [{**row, "group": name} for name, rows in tables for row in rows]
        first = [Column("group", "group")] if grouped else []
        empty = "no run passes the filter" if filtered else "no runs yet; 'odyssey demo' makes some"
        emit_table([*first, *columns], named, csv=csv, latex=latex, empty=empty)
        return
    for number, (name, rows) in enumerate(tables):
        emit_table(columns, rows, title=f"{chr(10) if number else ''}{name} ({len(rows)})")
