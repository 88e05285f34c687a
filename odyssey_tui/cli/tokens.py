"""``odyssey tokens``: which token types carry the change of loss, and what remains when some are masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped, say_wrapped

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.ledger import Masked
    from odyssey_tui.services.token_details import PositionCurve
    from odyssey_tui.services.tokens import Source, TokenReport


@click.command()
@click.argument("before", metavar="BEFORE")
@click.argument("after", metavar="[AFTER]", required=False)
@click.option("--set", "on", default="target", show_default=True, help="target, base, or an evaluation set's name.")
@click.option("--mask", "masks", multiple=True, help="Classes, tokens or #IDs to leave out: newline,the,#12")
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1), help="How many token types to list.")
@click.option("--positions", is_flag=True, help="The losses by position in the window instead of by token type.")
@table_options
@click.pass_obj
def tokens(
    invocation: Invocation,
    before: str,
    after: str | None,
    on: str,
    masks: tuple[str, ...],
    top: int,
    positions: bool,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """Show which token types carry the change of loss from BEFORE to AFTER.

    Both are evaluations, model states (RUN@STATE) or runs, by identifier or a unique beginning. BEFORE alone is an
    adapted run: its last state against the base state it started from.

    Or both are files that `odyssey evaluate --per-token` or `odyssey store export token_losses` wrote, Parquet or CSV;
    FILE#EVALUATION names one of several. Files need no workspace.
    """
    from odyssey_tui.services import token_details as details
    from odyssey_tui.services.ledger_columns import (
        CLASS_COLUMNS,
        CURVE_COLUMNS,
        class_records,
        columns_of,
        curve_records,
        type_columns,
        type_records,
    )
    from odyssey_tui.services.token_export import make_record

    source = open_pair(invocation, before, after, on)
    report, ledger = source.report, source.report.ledger
    masked = ledger.masked(ledger.resolve_masks(split_masks(masks))) if masks else None
    table = csv or latex
    if table and not positions:
        emit_table(type_columns(report.drift), type_records(ledger, top, report.drift), csv=csv, latex=latex)
        return
    found = details.read_details(source) if report.has_tokens or positions else None
    if table and found is not None:
        emit_table(CURVE_COLUMNS, curve_records(found.curve), csv=csv, latex=latex)
        return
    interval = details.bootstrap_report(report)
    by_class = details.bootstrap_classes(found.classes) if found is not None else {}
    masked_interval = None
    if masked is not None and found is not None:
        masked_interval = details.bootstrap_masked(source, masked.token_ids, found.classes)
    curve = found.curve if found is not None and positions else None
    if json:
        emit_json(
            make_record(
                report,
                interval=interval,
                by_class=by_class,
                top=top,
                masked=masked,
                masked_interval=masked_interval,
                curve=curve,
            )
        )
        return
    print_head(report, interval)
    if curve is not None:
        print_curve(curve)
    else:
        emit_table(type_columns(report.drift), type_records(ledger, top, report.drift))
        print()
        emit_table(columns_of(CLASS_COLUMNS), class_records(ledger, by_class), title="By class")
    print_masked(report, masked, masked_interval)


def open_pair(invocation: Invocation, before: str, after: str | None, on: str) -> Source:
    """Two files, or two evaluations of the workspace."""
    from store.exchange.token_tables import is_table

    if any(is_table(name) for name in (before, after) if name is not None):
        from odyssey_tui.services.token_files import open_files

        files = open_files(before, after)
        if files.identical:
            say_wrapped("note: all losses are the same in both: one model under two names?")
        return files
    from odyssey_tui.services.tokens import read_tokens

    return read_tokens(invocation.open(), before, after, on=on)


def split_masks(masks: tuple[str, ...]) -> list[str]:
    """Masks of one option apart at commas; a lone comma is the token."""
    return [part for mask in masks for part in ([mask] if not mask.strip(",") else mask.split(",")) if part]


def print_head(report: TokenReport, interval: MeanDifference) -> None:
    """What is compared, and the finding."""
    from odyssey_tui.services.drift import drift_line
    from odyssey_tui.services.token_words import basis_line, change_line, rise_line

    name = report.name
    on = f", on {name.eval_set} ({name.role})" if name.eval_set else ""
    print_wrapped(f"{name.before_words} → {name.after_words}{on}")
    if (name.before, name.after) != (name.before_words, name.after_words):
        print_wrapped(f"{name.before} → {name.after}")
    print()
    lines = [basis_line(report), change_line(report, interval), rise_line(report.ledger)]
    if report.drift is not None:
        lines.append(f"{drift_line(report.drift)} (`odyssey drift` has all of it)")
    for line in lines:
        print_wrapped(line)
    print()


def print_curve(curve: PositionCurve) -> None:
    """The change by position as a chart, then the numbers."""
    from odyssey_tui.services.ledger_columns import CURVE_COLUMNS, curve_records
    from odyssey_tui.services.token_figure import draw_change, label_of

    print_figure(draw_change(curve), height=16)
    print()
    emit_table(CURVE_COLUMNS, curve_records(curve), title=f"By {label_of(curve)}")


def print_masked(report: TokenReport, masked: Masked | None, interval: MeanDifference | None) -> None:
    """Perplexities without the masked types."""
    from odyssey_tui.services.token_details import without_tokens
    from odyssey_tui.services.token_words import mask_words

    if masked is None:
        return
    words = mask_words(report.ledger, masked, interval or without_tokens(report))
    print()
    print_wrapped("Masked PPL " + " · ".join(part for part in words if part))
