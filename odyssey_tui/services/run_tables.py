"""Tables of runs as files and commands have them: columns, and rows of several seeds as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import STATE_GLYPHS, duration, number, signed, state_text
from odyssey_tui.services.run_tree import AVERAGED, MIXED, count_states
from odyssey_tui.services.runs import compare_losses
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from odyssey_tui.services.run_detail import RunDetail
    from odyssey_tui.services.run_groups import RunGroup
    from odyssey_tui.services.run_tree import RunUnit
    from odyssey_tui.services.runs import RunRow

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
SEEDS = (
    Column("state", "state", lambda state: state_text(state) if state in STATE_GLYPHS else state),
    Column("name", "name"),
    Column("n_seeds", "seeds", right=True),
    *(column for column in HEAD if column.key in ("domain", "replay", "ptpp", "atpp", "size", "method")),
)
SPREADS = {"loss": "loss", "delta": "delta_target", "delta_base": "delta_base"}
BYTE_SPREADS = {"bits": "bits", "delta_bits": "delta_bits", "delta_base_bits": "delta_base_bits"}
"""Columns of losses by what ``RunRow`` calls them."""
EVALUATIONS = (
    Column("state", "at"),
    Column("eval_set", "on"),
    Column("role", "role", drop=3),
    Column("loss", "loss", number),
    Column("delta", "ΔL", signed),
    Column("ppl_before", "PPL before", lambda value: number(value, 2), drop=1),
    Column("ppl", "PPL", lambda value: number(value, 2)),
    Column("bits_before", "b/B before", number, drop=2),
    Column("bits", "bits/byte", number),
)


def run_columns(rows: Sequence[RunRow], *, whole: bool = False) -> list[Column]:
    """Of a table of runs: losses per token, or per byte where tokenizers differ; ``whole``: every column there is."""
    if whole:
        return [*HEAD, *LOSSES, *BYTE_LOSSES, *(Column(key) for key in HIDDEN)]
    return [*HEAD, *(LOSSES if compare_losses(rows).per_token else BYTE_LOSSES)]


def seed_columns(rows: Sequence[RunRow], *, whole: bool = False) -> list[Column]:
    """Of a table of means over seeds: each loss with its standard deviation behind it."""
    per_token = compare_losses(rows).per_token
    losses = [*LOSSES, *BYTE_LOSSES] if whole else list(LOSSES if per_token else BYTE_LOSSES)
    pairs = [(column, Column(f"{column.key}_sd", "±", number, drop=2)) for column in losses]
    return [*SEEDS, *(column for pair in pairs for column in pair)]


def unit_record(unit: RunUnit) -> dict[str, Any]:
    """Several seeds, or one run, under the columns of ``seed_columns``; deviations only of two values and more."""
    names = {attribute: key for key, attribute in {**SPREADS, **BYTE_SPREADS}.items()}
    spread = {f"{names[name]}_sd": unit.spread.get(name) for name in AVERAGED}
    state = count_states(unit.rows) if unit.row.state == MIXED else unit.row.state
    runs = [row.run_id for row in unit.rows]
    return {**unit.row.record(), **spread, "state": state, "n_seeds": len(unit.rows), "runs": runs}


def group_records(groups: Sequence[RunGroup]) -> list[dict[str, Any]]:
    """Runs by group as plain values, several seeds with their means."""
    return [
        {
            "group": group.name,
            "runs": [row.record() for row in group.rows],
            "seeds": [unit_record(unit) for unit in group.units if unit.repeated],
        }
        for group in groups
    ]


def detail_record(detail: RunDetail) -> dict[str, Any]:
    """One run as plain values."""
    return {
        **detail.row.record(),
        "attempt": detail.attempt,
        "hint": detail.hint,
        "history": detail.history,
        "notes": detail.notes,
        "where": detail.where,
        "lineage": detail.lineage,
        "states": detail.states,
        "heirs": detail.heirs,
        "metrics": detail.metrics,
        "warnings": detail.warnings,
        "evaluations": [asdict(line) for line in detail.evaluations],
    }
