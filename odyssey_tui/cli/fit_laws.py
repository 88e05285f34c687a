"""What ``odyssey fit --laws`` prints: the forms there are, or one of them with the bounds of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.law_list import AT_CENTRE, describe_law, list_laws

LAWS = (
    Column("form", "form"),
    Column("n_parameters", "parameters", drop=2),
    Column("losses", "losses", ", ".join),
    Column("reads", "reads", ", ".join),
    Column("exact_at_zero", "exact at D = 0", lambda v: "yes" if v else "", drop=1),
    Column("saw", "sees of an unseen stage", drop=3),
    Column("formula", "formula", drop=5),
    Column("source", "source", drop=4),
)
PARAMETERS = (
    Column("name", "parameter"),
    Column("bounds", "bounds"),
    Column("starts", "starts", drop=2),
    Column("scaled", "value", lambda v: AT_CENTRE if v else "", drop=1),
    Column("meaning", "meaning"),
)


def print_laws(forms: Sequence[str], *, json: bool, csv: bool, latex: bool) -> None:
    """All forms of the registry as a table; the named ones one by one, with their parameters."""
    if sum((json, csv, latex)) > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    laws = [describe_law(name) for name in forms] if forms else list_laws()
    if json:
        emit_json(laws)
    elif csv or latex or not forms:
        emit_table(LAWS, laws, csv=csv, latex=latex, title="Laws (docs/laws.md has their formulas)")
    else:
        for law in laws:
            print_law(law)


def print_law(law: dict[str, Any]) -> None:
    """Formula, source, what it reads, and the room of each parameter."""
    print_wrapped(f"{law['form']}: L = {law['formula']}")
    print_wrapped(f"({law['source']})")
    print_wrapped(
        f"Of the {' and the '.join(law['losses'])} loss; reads {', '.join(law['reads'])}; sees of an unseen stage "
        f"{law['saw']}{'; exact at D = 0' if law['exact_at_zero'] else ''}."
    )
    click.echo()
    rows = [
        {**one, "bounds": span(one["low"], one["high"]), "starts": span(one["start_low"], one["start_high"])}
        for one in law["parameters"]
    ]
    emit_table(PARAMETERS, rows, title="Parameters and their bounds")
    click.echo()


def span(low: float, high: float) -> str:
    """``0.01 … 3``."""
    return f"{low:.4g} … {high:.4g}"
