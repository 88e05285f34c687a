"""``odyssey repairs``: ways to adapt one base to one domain side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.numbers import Number
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped
from store.errors import ConfigError

if TYPE_CHECKING:
    from odyssey_tui.services.repairs import Repairs


@click.command()
@click.argument("experiment", required=False)
@click.option("--domain", help="What was adapted to; default: the domain with the most ways.")
@click.option("--set", "text", help="The evaluation set that counts; default: the domain's own.")
@click.option("--class", "classes", default="newline", show_default=True, help="Token classes set apart, with commas.")
@click.option("--plain", default="", help="What to compare with, like 'method=lora and lr=0.001'; default: plain.")
@click.option("--where", default="", help="Only states that pass, like 'variant!=old and lr<0.01'.")
@click.option("--size", help="Only this model size.")
@click.option("--ptpp", type=Number(), help="Only base states of this PTPP.")
@click.option("--atpp", type=Number(), help="Only this ATPP.")
@click.option("--cell", "number", default=1, show_default=True, type=click.IntRange(1), help="Which of the cells.")
@table_options
@click.pass_obj
def repairs(
    invocation: Invocation,
    experiment: str | None,
    domain: str | None,
    text: str | None,
    classes: str,
    plain: str,
    where: str,
    number: int,
    json: bool,
    csv: bool,
    latex: bool,
    **asked: Any,
) -> None:
    """Compare ways to adapt: variants, newlines kept or stripped, methods, replay, learning rates, WiSE-FT.

    One row for each way, of one base, domain and budget: ΔL on the domain, the parts of it that newlines (or --class)
    and all other tokens contribute, ΔL on the base text (forgetting), means over seeds; then the difference to plain
    fine-tuning within seeds, by Student's t over three seeds or more, else by a bootstrap over documents.
    """
    from odyssey_tui.services.matrix_source import narrow, parse_where, read_source
    from odyssey_tui.services.repairs import compare_repairs

    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    workspace = invocation.open()
    source = narrow(read_source(workspace, experiment, parse_where(where)), **asked)
    names = [name.strip() for name in classes.split(",") if name.strip()]
    choose: dict[str, Any] = {"domain": domain, "text": text, "classes": names, "plain": plain}
    found = compare_repairs(workspace, source, **choose)
    if number > 1:
        if number > len(found.choices):
            there = "there is 1 cell" if len(found.choices) == 1 else f"there are {len(found.choices)} cells"
            raise ConfigError(f"--cell {number}: {there}", "They are counted from 1.")
        found = compare_repairs(workspace, source, cell=found.choices[number - 1].cell, **choose)
    emit(found, json=json, csv=csv, latex=latex)


def emit(found: Repairs, *, json: bool, csv: bool, latex: bool) -> None:
    """Print the comparison in the form asked for."""
    from odyssey_tui.services.repairs_words import exportable, record

    forms = exportable(found)
    if json:
        emit_json(record(found))
    elif csv:
        emit_table(list(forms.columns) or ["repair"], list(forms.rows), csv=True)
    elif latex:
        emit_table(*forms.wide, latex=True)  # type: ignore[misc]
    elif not found.rows:
        click.echo(f"{found.reason}\n  {found.hint}")
    else:
        print_repairs(found)


def print_repairs(found: Repairs) -> None:
    """Two tables: what each way did, and how it differs from the plain one; then what that says."""
    from odyssey_tui.services.repairs_words import (
        BEST,
        against_columns,
        effect_columns,
        effect_rows,
        head_of,
        tell_repairs,
    )

    place = next((number for number, one in enumerate(found.choices, 1) if one.cell == found.cell), 1)
    more = f" (cell {place} of {len(found.choices)}; --cell N shows another)" if len(found.choices) > 1 else ""
    print_wrapped(f"{head_of(found)}: {found.cell_text}{more}")
    print_wrapped(
        f"ΔL in nats/token, mean ± sd over seeds; {'+'.join(found.classes)} and rest add up to ΔL; "
        f"{BEST} lowest mean of a column."
    )
    rows = effect_rows(found)
    print()
    emit_table(effect_columns(found), rows)
    if found.plain is not None and len(rows) > 1:
        print()
        others = [shown for shown, row in zip(rows, found.rows, strict=True) if not row.is_plain]
        emit_table(against_columns(found), others)
        print_wrapped(f"{found.called[0].upper()}{found.called[1:]}: {found.plain.words}.")
    print()
    for sentence in (*tell_repairs(found), *found.notes):
        print_wrapped(sentence)
