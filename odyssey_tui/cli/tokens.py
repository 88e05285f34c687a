"""``odyssey tokens``: which token types carry the change of loss, and what remains when some are masked."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.format import number, perplexity, signed
from odyssey_tui.services.ledger import visible

if TYPE_CHECKING:
    from odyssey_tui.services.ledger import Masked
    from odyssey_tui.services.tokens import TokenReport


def percent(value: float) -> str:
    """A share in percent."""
    return f"{value:.1%}"


TYPE_COLUMNS = (
    Column("rank", "#"),
    Column("text", "token", visible),
    Column("token_class", "class"),
    Column("count", "count", ",", drop=1),
    Column("loss_before", "before", number, drop=2),
    Column("loss_after", "after", number, drop=2),
    Column("contribution", "contribution", lambda v: signed(v, 5)),
    Column("share", "cumulative", percent),
)
CLASS_COLUMNS = (
    Column("token_class", "class"),
    Column("n_types", "types", ","),
    Column("count", "count", ","),
    Column("loss_before", "before", number),
    Column("loss_after", "after", number),
    Column("contribution", "contribution", lambda v: signed(v, 5)),
)


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@click.option("--set", "on", default="target", show_default=True, help="target, base, or an evaluation set's name.")
@click.option("--mask", default="", help="Classes, tokens or #IDs to leave out, separated by commas: newline,#12")
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1), help="How many token types to list.")
@table_options
@click.pass_obj
def tokens(
    invocation: Invocation,
    before: str,
    after: str | None,
    on: str,
    mask: str,
    top: int,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """Show which token types carry the change of loss from A to B.

    A and B are evaluations, model states (RUN@STATE) or runs, by identifier or a unique beginning. A alone is an
    adapted run: its last state against the base state it started from.
    """
    from odyssey_tui.services.tokens import read_tokens

    report = read_tokens(invocation.open(), before, after, on=on)
    ledger = report.ledger
    masked = ledger.masked(ledger.resolve_masks([part for part in mask.split(",") if part])) if mask else None
    rows = [asdict(row) for row in ledger.rows(top)]
    if json:
        emit_json(record(report, rows, masked))
        return
    if not (csv or latex):
        print_head(report)
    emit_table(TYPE_COLUMNS, rows, csv=csv, latex=latex)
    if not (csv or latex):
        print()
        emit_table(CLASS_COLUMNS, [asdict(row) for row in ledger.class_rows()], title="By class")
        print_masked(report, masked)


def record(report: TokenReport, rows: list[dict[str, Any]], masked: Masked | None) -> dict[str, Any]:
    """The report as plain values."""
    ledger = report.ledger
    return {
        **asdict(report.name),
        "scheme": report.scheme,
        "predicted": ledger.predicted,
        "loss_before": ledger.loss_before,
        "loss_after": ledger.loss_after,
        "delta": ledger.delta,
        "interval": asdict(ledger.documents),
        "ppl_before": perplexity(ledger.loss_before),
        "ppl_after": perplexity(ledger.loss_after),
        "n_types": len(ledger.counts),
        "n_rising": ledger.n_rising,
        "k_star": ledger.k_star,
        "types": rows,
        "classes": [asdict(row) for row in ledger.class_rows()],
        "masked": {**asdict(masked), "token_ids": sorted(masked.token_ids)} if masked is not None else None,
    }


def print_head(report: TokenReport) -> None:
    """What is compared, and the finding."""
    from odyssey_tui.services.tokens import tell_ledger

    name = report.name
    print_wrapped(f"{name.before_words} → {name.after_words}, on {name.eval_set} ({name.role}; {report.scheme})")
    print_wrapped(f"{name.before} → {name.after}")
    print()
    for sentence in tell_ledger(report.ledger):
        print_wrapped(sentence)
    print()


def print_masked(report: TokenReport, masked: Masked | None) -> None:
    """Perplexities without the masked types."""
    if masked is None:
        return
    ledger = report.ledger
    everything = f"{perplexity(ledger.loss_before):.3f} → {perplexity(ledger.loss_after):.3f}"
    types = "type" if len(masked.token_ids) == 1 else "types"
    print()
    print_wrapped(
        f"Without {len(masked.token_ids)} masked {types} ({ledger.predicted - masked.predicted:,} tokens): "
        f"PPL {masked.ppl_before:.3f} → {masked.ppl_after:.3f}, ΔL = {signed(masked.delta, 4)}; with all: {everything}."
    )
