"""``odyssey compare``: runs side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped
from odyssey_tui.services.format import number, perplexity, signed
from odyssey_tui.services.tokenizer_fair import TOKEN_UNIT

if TYPE_CHECKING:
    from odyssey_tui.services.compare import Comparison

HEAD = (
    Column("run", "run"),
    Column("role", "role"),
    Column("eval_set", "set", drop=5),
    Column("state", "state", drop=6),
)
COLUMNS = (
    *HEAD,
    Column("delta", "ΔL", lambda v: signed(v, 4)),
    Column("low", "low", lambda v: signed(v, 3), drop=3),
    Column("high", "high", lambda v: signed(v, 3), drop=3),
    Column("ppl_before", "PPL₀", lambda v: number(v, 2), drop=4),
    Column("ppl", "PPL", lambda v: number(v, 2), drop=1),
    Column("bits", "bits/byte", lambda v: number(v, 4), drop=2),
    Column("against_first", "vs first", lambda v: signed(v, 4), drop=7),
)
BYTE_COLUMNS = (
    *HEAD,
    Column("delta_bits", "Δ bits/byte", lambda v: signed(v, 4)),
    Column("low_bits", "low", lambda v: signed(v, 3), drop=3),
    Column("high_bits", "high", lambda v: signed(v, 3), drop=3),
    Column("bits_before", "before", lambda v: number(v, 4), drop=4),
    Column("bits", "bits/byte", lambda v: number(v, 4), drop=1),
    Column("against_first_bits", "vs first", lambda v: signed(v, 4), drop=7),
)
"""Where tokenizers differ: nothing per token stands side by side."""
PRECISE = ("run_id", "loss_before", "loss", "bits_before", "against_first_low", "against_first_high", "evaluation_id")
PRECISE_BITS = ("run_id", "tokenizer_id", "loss_before", "loss", "delta", "low", "high", "evaluation_id")


@click.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
@table_options
@click.pass_obj
def compare(invocation: Invocation, runs: tuple[str, ...], json: bool, csv: bool, latex: bool) -> None:
    """Show what differs between runs and what they did to the losses.

    ΔL is adapted minus zero-shot loss in nats per token, with a 95 % interval from a paired bootstrap over documents;
    "vs first" is the loss minus that of the first run on the same text. Runs of different tokenizers are compared in
    bits per byte.
    """
    if len(runs) < 2:
        raise click.UsageError("comparing needs two runs or more; 'odyssey runs' lists them")
    from odyssey_tui.services.compare import compare as compare_runs

    found = compare_runs(invocation.open(), runs)
    rows = table_rows(found)
    columns, precise = (COLUMNS, PRECISE) if found.unit == TOKEN_UNIT else (BYTE_COLUMNS, PRECISE_BITS)
    if json:
        emit_json(record(found, rows))
        return
    if csv or latex:
        emit_table([*columns, *(Column(key) for key in precise if csv)], rows, csv=csv, latex=latex)
        return
    print_differences(found)
    emit_table(columns, rows, title="Losses of the last states", empty="no evaluation yet")
    print_figures(found)
    for note in found.notes:
        print_wrapped(note, bullet="note: ")


def table_rows(found: Comparison) -> list[dict[str, Any]]:
    """One row per run and evaluation set; perplexities only where they can be compared."""
    labels = {run.run_id: run.label for run in found.runs}
    comparable = found.unit == TOKEN_UNIT
    rows = []
    for outcome in found.outcomes:
        interval, against = outcome.interval, outcome.against_first
        interval_bits, against_bits = outcome.in_bits(interval), outcome.in_bits(against)
        before = outcome.loss_before
        rows.append(
            {
                **asdict(outcome),
                "run": labels[outcome.run_id],
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "delta_bits": outcome.delta_bits,
                "low_bits": interval_bits.low if interval_bits else None,
                "high_bits": interval_bits.high if interval_bits else None,
                "ppl_before": perplexity(before) if comparable and before is not None else None,
                "ppl": perplexity(outcome.loss) if comparable else None,
                "against_first": against.mean if against else None,
                "against_first_low": against.low if against else None,
                "against_first_high": against.high if against else None,
                "against_first_bits": against_bits.mean if against_bits else None,
            }
        )
    return rows


def record(found: Comparison, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The comparison as plain values."""
    return {
        "runs": [asdict(run) for run in found.runs],
        "unit": found.unit,
        "notes": found.notes,
        "differences": [
            {
                "key": difference.key,
                **dict(zip((run.run_id for run in found.runs), difference.values, strict=True)),
            }
            for difference in found.differences
        ],
        "evaluations": rows,
        "plane": {run_id: [asdict(step) for step in steps] for run_id, steps in found.planes.items()},
    }


def print_differences(found: Comparison) -> None:
    """The configuration keys that differ, one run below the other where they do not fit beside each other."""
    labels = [run.label for run in found.runs]
    print("Runs")
    for number_, run in enumerate(found.runs, 1):
        print(f"  {number_}  {run.label} ({run.kind}, {run.state})")
    columns = [Column("key", "configuration"), *(Column(str(index), str(index)) for index in range(1, len(labels) + 1))]
    rows = [[difference.key, *difference.values] for difference in found.differences]
    print()
    emit_table(columns, rows, empty="the configurations are the same")
    print()


def print_figures(found: Comparison) -> None:
    """Curves and plane, where there is something to draw."""
    from odyssey_tui.services.compare_figures import draw_curves, draw_plane

    for figure in (draw_curves(found), draw_plane(found)):
        if not figure.is_empty:
            print()
            print_figure(figure, height=16)
