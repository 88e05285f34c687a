"""``odyssey plan``: which replay ratio and budget keep within limits, by the stored laws."""

from __future__ import annotations

from dataclasses import asdict

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.format import count, number, signed

COLUMNS = (
    Column("replay_ratio", "ρ", ".2g"),
    Column("atpp", "ATPP", ".3g"),
    Column("flops", "FLOP", count),
    Column("target_loss", "target", number),
    Column("base_loss", "base", number, drop=1),
    Column("forgetting", "forgetting", signed),
    Column("probability", "feasible", ".0%"),
)


@click.command()
@click.option("--forgetting", type=click.FloatRange(min=0), help="Largest rise of the base loss, nats per token.")
@click.option("--forgetting-share", type=click.FloatRange(min=0), help="The same as a share of the base loss: 0.03.")
@click.option("--target", "target_loss", type=click.FloatRange(min=0), help="Largest target loss, nats per token.")
@click.option("--gain", "target_gain", type=click.FloatRange(min=0), help="Least fall below its zero-shot value, nats.")
@click.option("--flops", type=click.FloatRange(min=0), help="Largest compute, 6·N·D.")
@click.option("--target-tokens", type=click.FloatRange(min=0), help="Tokens of domain text there are.")
@click.option("--size", help="Model: a size's label or a number of parameters; default: the largest measured.")
@click.option("--ptpp", type=click.FloatRange(min=0, min_open=True), help="Its pretraining tokens per parameter.")
@click.option("--domain", help="Which domain; default: the one fitted last.")
@click.option("--experiment", help="Only fits of this experiment.")
@click.option("--goal", type=click.Choice(["cheapest", "best"]), help="Default: cheapest with a target, else best.")
@table_options
@click.pass_obj
def plan(invocation: Invocation, json: bool, csv: bool, latex: bool, **options: object) -> None:
    """Find the replay ratio and budget that meet limits, and how sure the laws are of it.

    Without any limit, those of the experiment's `limits:` hold, else a forgetting of 0.05 nats.
    The target and the base law are those that predict their held-out points best; "feasible" is the share of
    bootstrap draws in which all limits hold.
    """
    from odyssey_tui.services.plan import cheapest, tell_answer

    answer = cheapest(invocation.open(), **options)
    if json:
        emit_json(asdict(answer))
        return
    if answer.reason:
        click.echo(f"{answer.reason}\n  {answer.hint}")
        return
    if not (csv or latex):
        for sentence in tell_answer(answer):
            print_wrapped(sentence)
        if answer.choice is None:
            return
        print()
    rows = [
        {"replay_ratio": option.replay_ratio, **(asdict(option.cell) if option.cell else {})}
        for option in answer.options
    ]
    emit_table(COLUMNS, rows, csv=csv, latex=latex, title="By replay ratio (empty: no budget meets the limits)")
