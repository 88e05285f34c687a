"""``odyssey runs``: the runs as a table."""

from __future__ import annotations

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_table, table_options
from odyssey_tui.cli.printing import say_wrapped
from odyssey_tui.services.format import duration, number, signed, state_text
from odyssey_tui.services.runs import compare_losses, list_runs, parse
from odyssey_tui.services.upkeep import count_lost_losses

HEAD = (
    Column("run", "run", drop=9),
    Column("state", "state", state_text),
    Column("name", "name"),
    Column("domain", "domain", drop=5),
    Column("replay", "ρ", "g", drop=2),
    Column("ptpp", "P", "g", drop=2),
    Column("atpp", "A", "g", drop=4),
    Column("size", "size", drop=6),
    Column("method", "method", drop=7),
    Column("progress", "done", ".0%", drop=3),
    Column("eta_s", "left", duration, drop=8),
)
LOSSES = (
    Column("loss", "loss", number, drop=1),
    Column("delta", "ΔL target", signed, drop=1),
    Column("delta_base", "ΔL base", signed, drop=1),
)
BYTE_LOSSES = (
    Column("bits", "bits/byte", number, drop=1),
    Column("delta_bits", "Δ target", signed, drop=1),
    Column("delta_base_bits", "Δ base", signed, drop=1),
)
"""Where tokenizers differ: nothing per token stands side by side."""
HIDDEN = ("experiment", "kind", "rank", "lr", "seed", "ppl", "tokenizer", "reason", "tags")


@click.command()
@click.option("--filter", "-f", "text", default="", help="For example 'domain=tests and replay>=0.1 and state=done'.")
@table_options
@click.pass_obj
def runs(invocation: Invocation, text: str, json: bool, csv: bool, latex: bool) -> None:
    """List runs, in the order they were planned.

    The filter joins conditions with 'and': KEY=VALUE (also != >= <= > <), tag:NAME, ~TEXT.
    """
    from store.cautions import list_cautions

    chosen = parse(text)
    workspace = invocation.open()
    rows = [row for row in list_runs(workspace) if chosen.accepts(row.record())]
    fair = compare_losses(rows)
    columns = [*HEAD, *(LOSSES if fair.per_token else BYTE_LOSSES)]
    if json or csv:
        columns = [*HEAD, *LOSSES, *BYTE_LOSSES, *(Column(key) for key in HIDDEN)]
    emit_table(
        columns,
        [row.record() for row in rows],
        json=json,
        csv=csv,
        latex=latex,
        empty="no run passes the filter" if text else "no runs yet; 'odyssey demo' makes some",
    )
    if not fair.per_token:
        say_wrapped(f"note: {fair.sentence}")
    if not (json or csv or latex) and (lost := count_lost_losses(workspace)):
        say_wrapped(
            f"{lost} evaluations have no losses of single tokens, which the database alone held: "
            "'odyssey store check' says what can be done"
        )
    for caution in list_cautions(workspace):
        say_wrapped(f"! {caution}")
