"""What ``odyssey plan`` prints: the answer, the map, the runs to make next."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import print_wrapped, say_wrapped
from odyssey_tui.services.format import count, duration, number, signed

if TYPE_CHECKING:
    from odyssey_tui.services.next_runs import NextRuns
    from odyssey_tui.services.plan import Answer, PlanMap

COLUMNS = (
    Column("domain"),
    Column("replay_ratio", "ρ", ".2g"),
    Column("atpp", "ATPP", ".3g"),
    Column("flops", "FLOP", count),
    Column("target_loss", "target", number),
    Column("base_loss", "base", number, drop=1),
    Column("forgetting", "forgetting", signed),
    Column("probability", "feasible", ".0%"),
)
NEXT_COLUMNS = (
    Column("domain"),
    Column("size", "model"),
    Column("ptpp", "PTPP", ".3g"),
    Column("replay_ratio", "ρ", ".3g"),
    Column("atpp", "ATPP", lambda budgets: ", ".join(f"{budget:.3g}" for budget in budgets), drop=1),
    Column("adapt_tokens", "tokens", count, drop=6),
    Column("flops", "FLOP", count, drop=5),
    Column("seconds", "time", duration, drop=3),
    Column("target_before", "target ±", lambda v: number(v, 4)),
    Column("target_after", "after", lambda v: number(v, 4)),
    Column("base_before", "base ±", lambda v: number(v, 4)),
    Column("base_after", "after", lambda v: number(v, 4)),
    Column("fall", "fall", ".0%"),
    Column("worth", "worth", ".3g", drop=2),
)


def record_of(mapped: PlanMap, laws: dict[str, Any]) -> dict[str, Any]:
    """The answer as JSON, with the laws of a table."""
    return {**asdict(mapped.answer), **({"laws": laws} if laws else {})}


def print_nothing(*, json: bool, csv: bool, latex: bool) -> None:
    """That there is no fit, and what to do."""
    from odyssey_tui.services.plan import Answer
    from odyssey_tui.services.stored_laws import NO_FITS, NO_FITS_HINT

    nothing = Answer(reason=NO_FITS, hint=NO_FITS_HINT)
    if json:
        emit_json(asdict(nothing))
    else:
        print_plan(nothing, csv=csv, latex=latex, pareto=False)


def tell_laws(laws: dict[str, Any]) -> None:
    """Which laws of a table were taken, and how they were chosen."""
    for role, law in laws.items():
        chosen = law["fits"][law["chosen"]]
        print_wrapped(f"{role.capitalize()}: {law['points']} {chosen['form']}: {law['chosen_by']}.")
    print()


def print_grid(mapped: PlanMap, laws: dict[str, Any], *, json: bool, csv: bool, latex: bool) -> None:
    """``--grid``: every cell."""
    from odyssey_tui.services import plan_cells
    from odyssey_tui.services.planning_words import tell_answer

    cells = plan_cells.list_cells(mapped)
    if json:
        emit_json({**record_of(mapped, laws), "cells": cells})
    elif csv or latex:
        emit_table(plan_cells.COLUMNS, cells, csv=csv, latex=latex)
    else:
        answer = mapped.answer
        of = " · ".join(part for part in (answer.domain, *answer.files) if part)
        print_wrapped(f"{of}: {tell_answer(answer)[0]}" if of else tell_answer(answer)[0])
        print()
        print(f"probability that the limits hold {' '.join(plan_cells.SHADES[1:])}\n{plan_cells.LEGEND}")
        print("\n".join(plan_cells.draw_map(mapped)))


def print_plan(answer: Answer, *, csv: bool, latex: bool, pareto: bool) -> None:
    """The answer in sentences, and what other replay ratios would cost, or what gains and forgetting can be had."""
    from odyssey_tui.services.planning_words import tell_answer

    if answer.reason:
        click.echo(f"{answer.reason}\n  {answer.hint}")
        return
    if not (csv or latex):
        for sentence in tell_answer(answer):
            print_wrapped(sentence)
        if answer.choice is None and not pareto:
            return
        print()
    columns = COLUMNS if csv or latex else COLUMNS[1:]
    if pareto:
        cells = [{"domain": answer.domain, **asdict(cell)} for cell in answer.front]
        emit_table(columns, cells, csv=csv, latex=latex, title="At this budget, beaten on both losses by no other")
        return
    rows = [
        {
            "domain": answer.domain,
            "replay_ratio": option.replay_ratio,
            **(asdict(option.cell) if option.cell else {}),
        }
        for option in answer.options
    ]
    emit_table(columns, rows, csv=csv, latex=latex, title="By replay ratio (empty: no budget meets the limits)")


def write_map(mapped: PlanMap, target: Path) -> None:
    """``--svg``: says where."""
    from odyssey_tui.services.figure_export import export
    from odyssey_tui.services.plan_cells import exportable

    say_wrapped(f"wrote {export(exportable(mapped), target)}")


def print_next(runs: NextRuns, *, json: bool, csv: bool, latex: bool) -> None:
    """``--next``."""
    from odyssey_tui.services.next_runs import tell_runs

    if json:
        emit_json(asdict(runs))
        return
    rows = [{"domain": runs.domain, **asdict(run)} for run in runs.runs]
    if not (csv or latex):
        for sentence in tell_runs(runs):
            print_wrapped(sentence)
        print()
    empty = "no run is expected to narrow these forecasts"
    columns = NEXT_COLUMNS if csv or latex else NEXT_COLUMNS[1:]
    emit_table(columns, rows, csv=csv, latex=latex, empty=empty)
    if rows and not (csv or latex):
        print()
        print_wrapped(
            "±: standard deviation of the forecast in nats per token, before and after; fall: expected fall of both "
            f"variances, averaged; worth: fall per {runs.per}."
        )
