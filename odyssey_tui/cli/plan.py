"""``odyssey plan``: which replay ratio and budget keep within limits, by the stored laws or by those of a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.fit import Pairs, refuse_foreign
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped, say_wrapped
from odyssey_tui.services.format import count, number, signed

if TYPE_CHECKING:
    from odyssey_tui.services.plan import Answer

COLUMNS = (
    Column("replay_ratio", "ρ", ".2g"),
    Column("atpp", "ATPP", ".3g"),
    Column("flops", "FLOP", count),
    Column("target_loss", "target", number),
    Column("base_loss", "base", number, drop=1),
    Column("forgetting", "forgetting", signed),
    Column("probability", "feasible", ".0%"),
)
OF_WORKSPACE = ("domain", "experiment")
OF_TABLE = (
    "base_points", "mapped", "where", "holdout", "form", "base_form", "target_zero_shot", "base_zero_shot",
    "starts", "bootstrap", "seed",
)  # fmt: skip


@click.command()
@click.option("--forgetting", type=click.FloatRange(min=0), help="Largest rise of the base loss, nats per token.")
@click.option("--forgetting-share", type=click.FloatRange(min=0), help="The same as a share of the base loss: 0.03.")
@click.option("--target", "target_loss", type=click.FloatRange(min=0), help="Largest target loss, nats per token.")
@click.option("--gain", "target_gain", type=click.FloatRange(min=0), help="Least fall below its zero-shot value, nats.")
@click.option("--flops", type=click.FloatRange(min=0), help="Largest compute, 6·N·D.")
@click.option("--target-tokens", type=click.FloatRange(min=0), help="Tokens of domain text there are.")
@click.option("--size", help="Model: a size's label or a number of parameters; default: the largest measured.")
@click.option("--ptpp", type=click.FloatRange(min=0, min_open=True), help="Its pretraining tokens per parameter.")
@click.option("--goal", type=click.Choice(["cheapest", "best"]), help="Default: cheapest with a target, else best.")
@click.option("--pareto", is_flag=True, help="List what no cell beats on target loss and forgetting.")
@click.option("--domain", help="Which domain; default: the one fitted last.")
@click.option("--experiment", help="Only fits of this experiment.")
@click.option(
    "--points",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Plan from a table, columns as of 'odyssey fit'; no workspace.",
)
@click.option(
    "--base-points",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The base losses, where they are in another file.",
)
@click.option("--map", "mapped", type=Pairs(), multiple=True, help="Which column is which: n_params=N,loss=loss_val.")
@click.option("--where", help="Only these rows.")
@click.option("--holdout", multiple=True, metavar="WHERE", help="Rows that choose the laws; without: cross-validation.")
@click.option("--form", multiple=True, metavar="NAME|FILE", help="Law of the target loss; several: the best of them.")
@click.option("--base-form", multiple=True, metavar="NAME|FILE", help="Law of the base loss.")
@click.option("--target-zero-shot", type=click.FloatRange(min=0, min_open=True), help="The model's loss before.")
@click.option("--base-zero-shot", type=click.FloatRange(min=0, min_open=True), help="The same on the base text.")
@click.option("--starts", type=click.IntRange(min=1), help="Starting points of the optimiser.")
@click.option("--bootstrap", type=click.IntRange(min=0), help="Refits for probabilities.")
@click.option("--seed", type=int, help="Of starts and bootstrap [0].")
@table_options
@click.pass_obj
def plan(
    invocation: Invocation,
    json: bool,
    csv: bool,
    latex: bool,
    pareto: bool,
    points: tuple[Path, ...],
    **options: Any,
) -> None:
    """Find the replay ratio and budget that meet limits, and how sure the laws are of it.

    Without any limit, those of the experiment's `limits:` hold, else a forgetting of 0.05 nats.
    The target and the base law are those that predict their held-out points best; "feasible" is the share of
    bootstrap draws in which all limits hold.

    With --points the laws are fitted here and now, to rows whose column `role` is target or base (or to two files).
    """
    refuse_foreign(options, OF_WORKSPACE if points else OF_TABLE, bool(points))
    if points:
        plan_points(points, json=json, csv=csv, latex=latex, pareto=pareto, **options)
        return
    from odyssey_tui.services.plan import cheapest

    answer = cheapest(invocation.open(), **{name: value for name, value in options.items() if name not in OF_TABLE})
    if json:
        emit_json(asdict(answer))
    else:
        print_plan(answer, csv=csv, latex=latex, pareto=pareto)


def plan_points(points: tuple[Path, ...], *, json: bool, csv: bool, latex: bool, pareto: bool, **options: Any) -> None:
    """``--points``."""
    from engine.laws.planner import Limits
    from odyssey_tui.cli.progress import Progress
    from odyssey_tui.services.point_tables import load_points, tell_left_out
    from odyssey_tui.services.table_fits import TableOptions
    from odyssey_tui.services.table_plans import Asked, plan_table

    filters = {
        "mapped": dict(pair for pairs in options["mapped"] for pair in pairs),
        "where": options["where"] or "",
        "holdout": options["holdout"],
    }
    target = load_points([path.expanduser() for path in points], role="target", **filters)
    base = load_points([path.expanduser() for path in options["base_points"] or points], role="base", **filters)
    if not options["base_points"] and base.columns["place"] == target.columns["place"]:
        raise click.UsageError("the rows have no role: add a column role (target, base), or --base-points FILE")
    for loaded in (target, base) if options["base_points"] else (target,):
        for sentence in tell_left_out(loaded.left_out):
            say_wrapped(sentence)
    limits = {name: options[name] for name in ("forgetting", "forgetting_share", "target_loss", "flops")}
    names = ("target_gain", "goal", "size", "ptpp", "target_zero_shot", "base_zero_shot")
    chosen = {name: options[name] for name in ("starts", "bootstrap", "seed") if options[name] is not None}
    with Progress() as progress:
        found = plan_table(
            target,
            base,
            Asked(Limits(**limits, target_tokens=options["target_tokens"]), **{name: options[name] for name in names}),
            {"target": options["form"], "base": options["base_form"]},
            TableOptions(**chosen),
            progress.hear,
        )
    if json:
        emit_json(found.content())
        return
    if not (csv or latex):
        for role, loaded in (("target", target), ("base", base)):
            law = found.laws[role]
            print_wrapped(
                f"{role.capitalize()}: {loaded.sentence} {law['fits'][law['chosen']]['form']}: {law['chosen_by']}."
            )
        print()
    print_plan(found.answer, csv=csv, latex=latex, pareto=pareto)


def print_plan(answer: Answer, *, csv: bool, latex: bool, pareto: bool) -> None:
    """The answer in sentences, and what other replay ratios would cost, or what gains and forgetting can be had."""
    from odyssey_tui.services.plan import tell_answer

    if answer.reason:
        click.echo(f"{answer.reason}\n  {answer.hint}")
        return
    if not (csv or latex):
        for sentence in tell_answer(answer):
            print_wrapped(sentence)
        if answer.choice is None and not pareto:
            return
        print()
    if pareto:
        cells = [asdict(cell) for cell in answer.front]
        emit_table(COLUMNS, cells, csv=csv, latex=latex, title="At this budget, beaten on both losses by no other")
        return
    rows = [
        {"replay_ratio": option.replay_ratio, **(asdict(option.cell) if option.cell else {})}
        for option in answer.options
    ]
    emit_table(COLUMNS, rows, csv=csv, latex=latex, title="By replay ratio (empty: no budget meets the limits)")
