"""``odyssey plan``: which replay ratio and budget keep within limits, by the stored laws or by those of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.fit import Pairs, merge, refuse_foreign
from odyssey_tui.cli.numbers import Number
from odyssey_tui.cli.output import emit_json, table_options
from odyssey_tui.cli.printing import say_wrapped

if TYPE_CHECKING:
    from odyssey_tui.services.plan import Asked, PlanMap
    from odyssey_tui.services.plan_basis import Source
    from odyssey_tui.services.plan_queue import Wanted
    from odyssey_tui.services.table_plans import TableSource

OF_WORKSPACE = ("domain", "experiment")
OF_TABLE = (
    "base_points", "mapped", "where", "holdout", "form", "base_form", "target_zero_shot", "base_zero_shot",
    "starts", "bootstrap", "seed",
)  # fmt: skip


@click.command()
@click.option("--forgetting", type=Number(min=0), help="Largest rise of the base loss, nats per token.")
@click.option("--forgetting-share", type=Number(min=0), help="The same as a share of the base loss: 0.03.")
@click.option("--target", "target_loss", type=Number(min=0), help="Largest target loss, nats per token.")
@click.option("--gain", "target_gain", type=Number(min=0), help="Least fall below its zero-shot value, nats.")
@click.option("--flops", type=Number(min=0, min_open=True), help="Largest compute, 6·N·D.")
@click.option("--target-tokens", type=Number(min=0, min_open=True), help="Tokens of domain text there are.")
@click.option("--sure", "probability", type=Number(0, 1), help="In which share of the draws: 0.9.")
@click.option("--size", help="Model: a size's label or a number of parameters; default: the largest measured.")
@click.option("--ptpp", type=Number(min=0, min_open=True), help="Its pretraining tokens per parameter.")
@click.option(
    "--goal",
    type=click.Choice(["cheapest", "best", "limited", "pareto"]),
    help="Default: cheapest with a target, else best. limited: with all domain text; pareto: at one budget.",
)
@click.option("--atpp", type=Number(min=0, min_open=True), help="Budget of --goal pareto, or of a cell.")
@click.option("--pareto", is_flag=True, help="List what no cell beats on target loss and forgetting.")
@click.option("--next", "number", type=click.IntRange(min=1), help="Runs that would tell most about the answer.")
@click.option("--replay", "replay_ratio", type=Number(0, 1), help="With --atpp: a cell instead of the answer.")
@click.option("--queue", is_flag=True, help="Queue the run of the answer, or the next runs.")
@click.option("--grid", is_flag=True, help="The map of replay ratio and ATPP: every cell with what the laws say of it.")
@click.option("--svg", type=click.Path(path_type=Path), help="Also write the map as a figure, .svg or .png.")
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
@click.option("--target-zero-shot", type=Number(min=0, min_open=True), help="The model's loss before.")
@click.option("--base-zero-shot", type=Number(min=0, min_open=True), help="The same on the base text.")
@click.option("--starts", type=click.IntRange(min=1), help="Starting points of the optimiser.")
@click.option("--bootstrap", type=click.IntRange(min=0), help="Refits for probabilities.")
@click.option("--seed", type=click.IntRange(min=0), help="Of starts and bootstrap [0].")
@table_options
@click.pass_obj
def plan(
    invocation: Invocation,
    json: bool,
    csv: bool,
    latex: bool,
    pareto: bool,
    grid: bool,
    number: int | None,
    queue: bool,
    svg: Path | None,
    points: tuple[Path, ...],
    **options: Any,
) -> int:
    """Find the replay ratio and budget that meet limits, and how sure the laws are of it.

    Without any limit, those of the experiment's `limits:` hold, else a forgetting of 0.05 nats. The exit status is 1
    where no cell meets them.
    The target and the base law are those that predict their held-out points best; "feasible" is the share of
    bootstrap draws in which all limits hold.

    With --points the laws are fitted here and now, to rows whose column `role` is target or base (or to two files).
    """
    from odyssey_tui.cli import plan_output
    from odyssey_tui.services.plan import plan as solve

    refuse_foreign(options, OF_WORKSPACE if points else OF_TABLE, bool(points))
    if points and queue:
        raise click.UsageError("--queue is for what a workspace holds")
    if (options["replay_ratio"] is not None and options["atpp"] is None) or (
        options["atpp"] is not None and options["replay_ratio"] is None and options["goal"] != "pareto"
    ):
        raise click.UsageError("--atpp goes with --replay (a cell) or with --goal pareto")
    form = {"json": json, "csv": csv, "latex": latex}
    if sum(form.values()) > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    if points:
        found = read_table_source(points, options)
        source, laws = found.source, found.content()
    else:
        source, laws = read_stored_source(invocation, options), {}
    if source is None:
        plan_output.print_nothing(**form)
        return Exit.OK
    mapped = solve(source, asked_by(options))
    if svg is not None:
        plan_output.write_map(mapped, svg)
    if laws and not any(form.values()):
        plan_output.tell_laws(laws)
    if number is not None:
        tell_next(invocation, source, mapped, number, options, queue=queue, **form)
    elif queue:
        queue_cell(invocation, source, mapped, options, json=json)
    elif grid:
        plan_output.print_grid(mapped, laws, **form)
    elif json:
        emit_json(plan_output.record_of(mapped, laws))
    else:
        plan_output.print_plan(mapped.answer, csv=csv, latex=latex, pareto=pareto)
    answered = mapped.answer.choice is not None or pareto or number is not None or queue
    return Exit.OK if answered else Exit.FAILED


def cell_asked(mapped: PlanMap, options: dict[str, Any]) -> tuple[float, float]:
    """Replay ratio and budget of --replay and --atpp, else of the answer. Raises LawError where there is none."""
    from engine.laws.errors import LawError
    from odyssey_tui.services.planning_words import tell_nothing

    if options["replay_ratio"] is not None:
        return options["replay_ratio"], options["atpp"]
    if mapped.answer.choice is None:
        raise LawError(tell_nothing(mapped.answer), "Name a cell: --replay 0.1 --atpp 4; or relax the limits.")
    return mapped.answer.choice.replay_ratio, mapped.answer.choice.atpp


def tell_next(
    invocation: Invocation,
    source: Source,
    mapped: PlanMap,
    number: int,
    options: dict[str, Any],
    *,
    queue: bool,
    **form: bool,
) -> None:
    """``--next``, and with ``--queue`` those runs queued."""
    from odyssey_tui.cli.plan_output import print_next
    from odyssey_tui.services.next_runs import next_runs, read_rate, wanted

    rate = read_rate(invocation.open()) if source.experiment else None
    runs = next_runs(source, mapped, *cell_asked(mapped, options), number, rate)
    print_next(runs, **form)
    if queue:
        for run in runs.runs:
            queue_run(invocation, source, wanted(runs, run), json=False, out=True)


def queue_cell(invocation: Invocation, source: Source, mapped: PlanMap, options: dict[str, Any], *, json: bool) -> None:
    """``--queue``: the run of the answer, or of the cell that was named."""
    from odyssey_tui.services.plan_queue import wanted_of

    queue_run(invocation, source, wanted_of(mapped, *cell_asked(mapped, options)), json=json, out=False)


def queue_run(invocation: Invocation, source: Source, asked: Wanted, *, json: bool, out: bool) -> None:
    """Queue a run, or say that it is there. ``out``: something else is on stdout, so this is talk."""
    from odyssey_tui.services.plan_queue import find_run, launch

    workspace = invocation.open()
    found = find_run(workspace, source.experiment, asked)
    queued = 0 if found.existing else launch(workspace, found)
    if json:
        emit_json({"run_id": found.run_id, "name": found.name, "state": found.state, "queued": queued})
        return
    told = f"{found.name} is there already: {found.state}" if found.existing else f"{found.name} queued"
    others = f", with {queued - 1} it needs" if queued > 1 else ""
    click.echo(f"{told}{others}", err=out)


def asked_by(options: dict[str, Any]) -> Asked:
    """What the options ask for."""
    from engine.laws.planner import Limits
    from odyssey_tui.services.plan import Asked

    names = ("forgetting", "forgetting_share", "target_loss", "flops", "target_tokens", "probability")
    chosen = {name: options[name] for name in ("target_gain", "size", "ptpp", "atpp")}
    return Asked(Limits(**{name: options[name] for name in names}), problem=options["goal"], **chosen)


def read_stored_source(invocation: Invocation, options: dict[str, Any]) -> Source | None:
    """The laws of the workspace."""
    from odyssey_tui.services.plan_basis import read_source

    return read_source(invocation.open(), options["domain"], options["experiment"])


def read_table_source(points: tuple[Path, ...], options: dict[str, Any]) -> TableSource:
    """``--points``: the laws of tables, fitted here."""
    from odyssey_tui.cli.progress import Progress
    from odyssey_tui.services.point_tables import load_points, tell_left_out
    from odyssey_tui.services.table_fits import TableOptions
    from odyssey_tui.services.table_plans import read_tables

    filters = {
        "mapped": merge(options["mapped"]),
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
    chosen = {name: options[name] for name in ("starts", "bootstrap", "seed") if options[name] is not None}
    with Progress() as progress:
        return read_tables(
            target,
            base,
            {"target": options["form"], "base": options["base_form"]},
            TableOptions(**chosen),
            progress.hear,
            zero_shot={role: options[f"{role}_zero_shot"] for role in ("target", "base")},
        )
