"""Rows of the comparison's tables, fitted to a width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import cut, number, perplexity, signed
from odyssey_tui.widgets.table_cells import TableColumn, TableRow

if TYPE_CHECKING:
    from odyssey_tui.services.compare import Comparison, Outcome

Table = tuple[tuple[TableColumn, ...], list[TableRow]]
LEAST_VALUE, MOST_KEY = 6, 30
HEAD = "configuration"
LEFT = ("run", "role", "set")
"""Columns that are text."""


def outcome_table(found: Comparison, width: int) -> Table:
    """One row per run and evaluation set, runs by their number; columns give way from the right.

    ΔL in nats per token, or in bits per byte where tokenizers differ; perplexities only where they can be compared.
    """
    from odyssey_tui.services.tokenizer_fair import TOKEN_UNIT

    comparable = found.unit == TOKEN_UNIT
    numbers = {run.run_id: position for position, run in enumerate(found.runs, 1)}
    columns = [
        TableColumn("run", "#", 2),
        TableColumn("role", "on", 6),
        TableColumn("set", "set", 8),
        TableColumn("delta", "      ΔL" if comparable else "   Δbits", 8),
        TableColumn("interval", "    95 % interval", 17),
        TableColumn("ppl", "PPL before → after" if comparable else "        bits/byte", 18),
        TableColumn("bits", "bits/byte", 9),
        TableColumn("first", " vs 1st", 8),
    ]
    if not comparable:
        columns = [column for column in columns if column.key != "bits"]
    kept: list[TableColumn] = []
    for column in columns:
        if sum(known.width + 1 for known in kept) + column.width + 1 <= width or len(kept) < 4:
            kept.append(column)
    rows = []
    for outcome in found.outcomes:
        values = outcome_values(outcome, numbers[outcome.run_id], comparable)
        cells = tuple(Text(_placed(values[column.key], column)) for column in kept)
        rows.append(TableRow(outcome.evaluation_id, cells))
    return tuple(kept), rows


def outcome_values(outcome: Outcome, position: int, comparable: bool) -> dict[str, str]:
    """What the columns say of one outcome."""
    interval, against = outcome.interval, outcome.against_first
    if not comparable:
        interval, against = outcome.in_bits(interval), outcome.in_bits(against)
    before = perplexity(outcome.loss_before) if outcome.loss_before is not None else None
    bits = (outcome.bits_before, outcome.bits)
    levels = f"{number(before, 2)} → {number(perplexity(outcome.loss), 2)}"
    bounds = (interval.low, interval.high) if interval is not None else (None, None)
    return {
        "run": str(position),
        "role": outcome.role,
        "set": outcome.eval_set,
        "delta": signed(outcome.delta if comparable else outcome.delta_bits, 4),
        "interval": "–" if bounds[0] is None else f"{signed(bounds[0], 4)} … {signed(bounds[1], 4)}",
        "ppl": levels if comparable else f"{number(bits[0], 4)} → {number(bits[1], 4)}",
        "bits": number(bits[1], 4),
        "first": signed(against.mean, 4) if against is not None else "–",
    }


def _placed(text: str, column: TableColumn) -> str:
    shown = cut(text, column.width)
    return shown if column.key in LEFT else shown.rjust(column.width)


def difference_table(found: Comparison, width: int) -> Table:
    """One row per differing key, one column per run; values are cut, long keys lose their beginning."""
    longest = max((len(difference.key) for difference in found.differences), default=0)
    key_width = min(max(longest, len(HEAD)), MOST_KEY, max(len(HEAD), width // 3))
    room = (width - key_width - 1) // max(1, len(found.runs)) - 1
    wanted = [
        max([1, *(len(difference.values[index]) for difference in found.differences)])
        for index in range(len(found.runs))
    ]
    widths = [max(LEAST_VALUE, min(room, one)) for one in wanted]
    columns = (
        TableColumn("key", HEAD, key_width),
        *(TableColumn(str(index), str(index), one) for index, one in enumerate(widths, 1)),
    )
    rows = [
        TableRow(
            difference.key,
            (
                Text(_tail(difference.key, key_width)),
                *(Text(value) for value in _cut_apart(difference.values, widths)),
            ),
        )
        for difference in found.differences
    ]
    return columns, rows


def _cut_apart(values: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Values cut to their columns; by their ends where cutting the ends off would make different ones look alike."""
    heads = [cut(value, width) for value, width in zip(values, widths, strict=True)]
    if len(set(heads)) == len(set(values)):
        return heads
    return [_tail(value, width) for value, width in zip(values, widths, strict=True)]


def _tail(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
