"""What ``odyssey fit --isoflop`` prints: compute-optimal sizes by budget, and how they grow with compute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import print_figure, print_wrapped, say_wrapped
from odyssey_tui.services.format import count, number
from odyssey_tui.services.isoflop import scientific
from odyssey_tui.services.point_tables import tell_left_out
from store.errors import DataError

BUDGETS = (
    Column("flops", "C", scientific),
    Column("n_points", "points", drop=2),
    Column("n_params", "N*", count),
    Column("tokens", "D*", count),
    Column("tokens_per_parameter", "D*/N*", lambda v: f"{v:.3g}", drop=1),
    Column("loss", "loss", lambda v: number(v, 4)),
    Column("curvature", "curvature", lambda v: f"{v:.3g}", drop=4),
)
LAWS = (
    Column("sweep", "sweep"),
    Column("n_budgets", "budgets", drop=2),
    Column("exponent", "a of N*", lambda v: number(v, 3)),
    Column("low", "low", lambda v: number(v, 3)),
    Column("high", "high", lambda v: number(v, 3)),
    Column("tokens_exponent", "b of D*", lambda v: number(v, 3)),
    Column("tokens_low", "low", lambda v: number(v, 3), drop=1),
    Column("tokens_high", "high", lambda v: number(v, 3), drop=1),
)


def fit_isoflop(paths: Sequence[Path], *, svg: Path | None, json: bool, csv: bool, latex: bool, **options: Any) -> None:
    """Find the optima and print them."""
    from odyssey_tui.services.isoflop import draw_sweep, find_sweeps, list_budgets, list_laws, record, tell_sweep

    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    found = find_sweeps(paths, **options)
    for sentence in tell_left_out(found.left_out):
        say_wrapped(sentence)
    if svg is not None:
        write_figure(found, svg)
    if json:
        emit_json(record(found))
        return
    if csv or latex:
        rows = [row for sweep in found.sweeps for row in list_budgets(sweep)]
        emit_table((Column("sweep", "sweep"), *BUDGETS, Column("note", "note")), rows, csv=csv, latex=latex)
        return
    if len(found.sweeps) == 1:
        (sweep,) = found.sweeps
        print_figure(draw_sweep(sweep))
        click.echo()
        rows = [row for row in list_budgets(sweep) if not row["note"]]
        emit_table(BUDGETS, rows, title="The size with the lowest loss at each budget, by a parabola in ln N")
        click.echo()
        for letter, law in (("N", sweep.optima.size), ("D", sweep.tokens)):
            print_wrapped(
                f"{letter}* = {law.coefficient:.4g} · C^{law.exponent:.3f}, exponent {law.low:.3f} to {law.high:.3f} "
                f"({found.level:.0%} of {found.draws} refits, budgets drawn with replacement)"
            )
    else:
        emit_table(LAWS, list_laws(found), title=f"N* ∝ C^a, D* ∝ C^b, {found.level:.0%} of {found.draws} refits")
    for sweep in found.sweeps:
        for sentence in tell_sweep(sweep):
            print_wrapped(f"{sweep.name}: {sentence}" if sweep.name else sentence, bullet="- ")
    for name, reason in found.refused:
        print_wrapped(f"{name or 'all rows'}: {reason}", bullet="- ")


def write_figure(found: Any, target: Path) -> None:
    """The figure of the one sweep as a file."""
    from odyssey_tui.services.figure_export import save_figure
    from odyssey_tui.services.isoflop import draw_sweep

    if len(found.sweeps) != 1:
        raise DataError(f"a figure is of one sweep, and there are {len(found.sweeps)}", "Choose one with --where.")
    click.echo(f"wrote {save_figure(draw_sweep(found.sweeps[0]), target)}", err=True)
