"""``odyssey tokens``: which token types carry the change of loss, and what remains when some are masked."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped, say_wrapped, terminal_width

if TYPE_CHECKING:
    from odyssey_tui.services.token_export import Findings
    from odyssey_tui.services.tokens import Source, TokenReport


@click.command()
@click.argument("before", metavar="BEFORE")
@click.argument("after", metavar="[AFTER]", required=False)
@click.option("--set", "on", default="target", show_default=True, help="target, base, or an evaluation set's name.")
@click.option("--mask", "masks", multiple=True, help="Classes, tokens or #IDs to leave out: newline,the,#12")
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1), help="How many token types to list.")
@click.option("--positions", is_flag=True, help="The losses by position in the window instead of by token type.")
@click.option("--passages", default=0, type=click.IntRange(min=0, max=200), metavar="N", help="Print the N worst too.")
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
    passages: int,
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
    from odyssey_tui.services.ledger_columns import CURVE_COLUMNS, curve_records, type_columns, type_records
    from odyssey_tui.services.token_details import read_details
    from odyssey_tui.services.token_export import make_record

    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    source = open_pair(invocation, before, after, on)
    chosen = source.report.ledger.resolve_masks(split_masks(masks)) if masks else None
    if csv or latex:
        if positions:
            emit_table(CURVE_COLUMNS, curve_records(read_details(source).curve), csv=csv, latex=latex)
        else:
            drift = source.report.drift
            rows = type_records(source.report.ledger, top, drift)
            emit_table(type_columns(drift), rows, csv=csv, latex=latex)
        return
    found = find_out(source, chosen, positions=positions, passages=passages)
    if json:
        emit_json(make_record(source.report, found, top))
        return
    print_head(source.report, found)
    print_tables(source.report, found, top)
    print_masked(source.report, found)
    print_passages(found)


def find_out(source: Source, masked: frozenset[int] | None, *, positions: bool, passages: int) -> Findings:
    """Intervals, and what else was asked for; what needs single tokens is left out where only sums are kept."""
    from odyssey_tui.services import token_details as details
    from odyssey_tui.services.token_export import Findings

    report = source.report
    scanned = details.read_details(source) if report.has_tokens or positions or passages else None
    interval = details.bootstrap_report(report)
    left = report.ledger.masked(masked) if masked is not None else None
    if scanned is None:
        return Findings(interval, masked=left, masked_interval=details.without_tokens(report))
    return Findings(
        interval,
        details.bootstrap_classes(scanned.classes),
        left,
        details.bootstrap_masked(source, masked, scanned.classes) if masked is not None else None,
        scanned.curve if positions else None,
        tuple(source.read_passage(place) for place in scanned.rising[:passages]) if passages else None,
    )


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


def print_head(report: TokenReport, found: Findings) -> None:
    """What is compared, and the finding."""
    from odyssey_tui.services.drift import drift_line
    from odyssey_tui.services.token_words import basis_line, change_line, rise_line

    name = report.name
    on = f", on {name.eval_set} ({name.role})" if name.eval_set else ""
    print_wrapped(f"{name.before_words} → {name.after_words}{on}")
    if (name.before, name.after) != (name.before_words, name.after_words):
        print_wrapped(f"{name.before} → {name.after}")
    print()
    lines = [basis_line(report), change_line(report, found.interval), rise_line(report.ledger)]
    if report.drift is not None:
        lines.append(f"{drift_line(report.drift)} (`odyssey drift` has all of it)")
    for line in lines:
        print_wrapped(line)
    print()


def print_tables(report: TokenReport, found: Findings, top: int) -> None:
    """Types and classes; or the change by position as a chart, then the numbers."""
    from odyssey_tui.services import ledger_columns as columns
    from odyssey_tui.services.token_figure import draw_change, label_of

    if found.curve is not None:
        print_figure(draw_change(found.curve), height=16)
        print()
        rows = columns.curve_records(found.curve)
        emit_table(columns.CURVE_COLUMNS, rows, title=f"By {label_of(found.curve)}")
        return
    rows = columns.type_records(report.ledger, top, report.drift)
    emit_table(columns.type_columns(report.drift), rows)
    print()
    rows = columns.class_records(report.ledger, found.by_class)
    emit_table(columns.columns_of(columns.CLASS_COLUMNS), rows, title="By class")


def print_masked(report: TokenReport, found: Findings) -> None:
    """Perplexities without the masked types."""
    from odyssey_tui.services.token_words import mask_words

    if found.masked is not None:
        words = mask_words(report.ledger, found.masked, found.masked_interval)
        print()
        print_wrapped("Masked PPL " + " · ".join(part for part in words if part))


def print_passages(found: Findings) -> None:
    """The worst passages, the tokens that rose much marked."""
    from odyssey_tui.services.passages import STRONG, marked_text
    from odyssey_tui.services.token_words import passage_words

    if not found.passages:
        return
    print()
    print_wrapped(f"Worst passages; ‹ › rose by {STRONG:g} nat or more")
    for number, passage in enumerate(found.passages, 1):
        print()
        print_wrapped(f"{number}. {passage_words(passage, typed=False)}")
        for line in marked_text(passage).split("\n"):
            print(fold(line, indent="   "))


def fold(line: str, indent: str) -> str:
    """A line of text in lines that fit, cut where they are full: its spaces are the text's."""
    room = max(20, terminal_width() - len(indent))
    parts, width = [""], 0
    for character in line:
        cells = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width + cells > room:
            parts.append("")
            width = 0
        parts[-1] += character
        width += cells
    return "\n".join(indent + part for part in parts)
