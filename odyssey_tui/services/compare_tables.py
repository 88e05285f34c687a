"""The table of a comparison as files and commands have it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import number, perplexity, signed
from odyssey_tui.services.tables import Column
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


def columns_of(found: Comparison, *, precise: bool = False) -> list[Column]:
    """The columns in the comparison's unit; ``precise``: with what only files have room for."""
    columns, more = (COLUMNS, PRECISE) if found.unit == TOKEN_UNIT else (BYTE_COLUMNS, PRECISE_BITS)
    return [*columns, *(Column(key) for key in more if precise)]


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
