"""``odyssey launch``: an experiment expanded into runs, and queued."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import say_logout, say_wrapped
from odyssey_tui.services.composition import describe
from odyssey_tui.services.draft import save as save_draft
from odyssey_tui.services.format import count, duration, state_text
from odyssey_tui.services.launch import compose
from odyssey_tui.services.launch import launch as queue_runs
from odyssey_tui.services.plan_words import details
from odyssey_tui.services.starts import is_config, list_ready, open_start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odyssey_tui.services.audit_sources import Known
    from odyssey_tui.services.composition import Composition, PlannedRun
    from odyssey_tui.services.design import Design
    from store.workspace import Workspace

COLUMNS = (
    Column("state", "state", lambda state: "+ new" if state == "new" else state_text(state)),
    Column("name", "run"),
    Column("kind", "kind", drop=5),
    Column("budgets", "at", drop=4),
    Column("tokens", "tokens", count),
    Column("steps", "steps", count, drop=2),
    Column("flops", "FLOPs", count),
    Column("replay", "replay", ".4f", drop=7),
    Column("epochs", "epochs ≤", ".3g", drop=6),
    Column("memory_bytes", "memory ≈", count),
    Column("seconds", "time ≈", duration),
    Column("disk_bytes", "disk ≈", count, drop=3),
)


READY = (Column("name", "experiment"), Column("about", "what it is"))
AUDIT_LINES = 6
LEVELS = {"low": -1.0, "normal": 0.0, "high": 1.0}


class Level(click.ParamType):
    """A priority: a word of LEVELS or a number."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if value in LEVELS:
            return LEVELS[value]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{value!r} is no priority: give {', '.join(LEVELS)} or a number", param, ctx)
        return number


@click.command()
@click.argument("config", required=False)
@click.option("--list", "listing", is_flag=True, help="Name the ready experiments, a line each.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in base.ptpp=[8,16].")
@click.option(
    "--block",
    type=click.IntRange(min=0),
    help="Only the runs of this `adapt` block (the first is 0) and what they need.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the experiment with its overrides; queue nothing.",
)
@click.option("--dry-run", is_flag=True, help="Show what would run and what it takes; queue nothing.")
@click.option("--calibrate", is_flag=True, help="With --dry-run: time a few steps of every model, seconds each.")
@click.option("--priority", type=Level(), metavar="LEVEL", help="low, normal, high or a number: higher starts first.")
@click.option("--csv", is_flag=True, help="Print the table as CSV.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def launch(
    invocation: Invocation,
    config: str | None,
    listing: bool,
    overrides: tuple[str, ...],
    block: int | None,
    save: str | None,
    dry_run: bool,
    calibrate: bool,
    priority: float | None,
    csv: bool,
    json: bool,
) -> None:
    """Expand CONFIG into runs and queue those that are new.

    CONFIG is a YAML file, the name of a ready experiment or of one launched here, or a past run: the block of its
    experiment that it came from, narrowed to its cell.

    Tokens, steps and FLOPs are those of the runs; what is marked ≈ is estimated. Time is that of finished runs like
    them in this workspace. Runs that wait already take the resources and the --priority given now.
    """
    if listing:
        emit_table(READY, [{"name": ready.name, "about": ready.about} for ready in list_ready()], json=json, csv=csv)
        return
    if config is None:
        raise click.UsageError("give CONFIG: a YAML file, or a ready experiment (`odyssey launch --list`)")
    if calibrate and not dry_run:
        raise click.UsageError("--calibrate tells what --dry-run shows: give both")
    # A new workspace is made only for an experiment that can be queued.
    workspace = invocation.planned() or invocation.open_or_create()
    draft = open_start(workspace, config).with_changes(overrides)
    if block is not None:
        draft = replace(draft, block=block)
    if save is not None:
        saved = save_draft(draft, Path(save))
        click.echo(f"wrote {saved.source}", err=True)
        return
    composition = compose(workspace, draft)
    if calibrate:
        composition = _calibrated(invocation, composition)
    if not dry_run:
        composition.require_disk()
        composition.require_cluster()
        queue_runs(invocation.open_or_create(), composition, priority)
    known = known_audits(workspace, composition)
    designs = judge_laws(composition) if dry_run else ()
    if json:
        plan = as_json(composition, queued=not dry_run, calibrated=calibrate)
        emit_json({**plan, "audit": audit_json(known), **({"laws": laws_json(designs)} if dry_run else {})})
        return
    if dry_run or csv:
        emit_table(COLUMNS, [table_row(run) for run in composition.runs], csv=csv)
    for caution in composition.cautions:
        say_wrapped(f"caution: {caution}")
    say_wrapped(summary(composition, queued=not dry_run))
    if dry_run:
        for line in details(composition, calibrated=calibrate):
            say_wrapped(line)
        for line in audit_lines(known, config):
            say_wrapped(line)
        if designs and not csv:
            print_laws(designs)
    else:
        say_logout()


def judge_laws(composition: Composition) -> tuple[Design, ...]:
    """What the grid could tell of the laws that the experiment fits."""
    from odyssey_tui.services.design import judge_plan

    return judge_plan(composition.plan)


def print_laws(designs: tuple[Design, ...]) -> None:
    """The same as a table and in sentences."""
    from odyssey_tui.services.design import COLUMNS as LAWS
    from odyssey_tui.services.design import list_verdicts, tell_designs

    print()
    emit_table(LAWS, list_verdicts(designs), title="What the grid could tell of the laws")
    for line in tell_designs(designs, briefly=True):
        say_wrapped(line)


def laws_json(designs: tuple[Design, ...]) -> list[dict[str, Any]]:
    """The same for scripts."""
    from odyssey_tui.services.design import record

    return record(designs)


def known_audits(workspace: Workspace, composition: Composition) -> Known:
    """Format audits of the plan's texts that are there already, with what was measured here."""
    from odyssey_tui.services.audit_sources import Known, read_known, with_measured

    known = read_known(workspace, composition.plan.runs)
    return Known(tuple(with_measured(workspace, known.audits)), known.missing)


def audit_lines(known: Known, config: str) -> Iterator[str]:
    """What the format audit says of the experiment, a line each."""
    hint = f" (odyssey audit {config})" if (known.missing or known.warnings) and is_config(config) else ""
    yield f"format audit: {known.summary}{hint}"
    for warned in known.warnings[:AUDIT_LINES]:
        finding = warned.finding
        effect = f". {finding.effect}" if finding.effect else ""
        yield f"{finding.level}: {warned.where}: {finding.message}{effect}"
    if len(known.warnings) > AUDIT_LINES:
        yield f"and {len(known.warnings) - AUDIT_LINES} more"


def audit_json(known: Known) -> dict[str, object]:
    """The same for scripts."""
    return {
        "audited": len(known.audits),
        "missing": known.missing,
        "findings": [
            {
                "audits": [audit.name for audit in warned.audits],
                "level": warned.finding.level,
                "code": warned.finding.code,
                "message": warned.finding.message,
            }
            for warned in known.warnings
        ],
    }


def _calibrated(invocation: Invocation, composition: Composition) -> Composition:
    from odyssey_tui.services.timing import calibrate_new, distinct_cases

    plan = composition.plan
    starting = {run.run_id for run in composition.new}
    cases = distinct_cases(plan, [run for run in plan.runs if run.run_id in starting])
    click.echo(f"timing {len(cases)} models for some seconds each …", err=True)
    calibration = calibrate_new(composition)
    return describe(invocation.planned() or invocation.open_or_create(), plan, calibration)


def table_row(run: PlannedRun) -> dict[str, object]:
    """A planned run as a row of COLUMNS."""
    return {
        "state": run.state,
        "name": run.name,
        "kind": run.kind,
        "budgets": ", ".join(f"{budget:g}" for budget in run.budgets),
        "tokens": run.tokens or None,
        "steps": run.steps or None,
        "flops": run.flops or None,
        "memory_bytes": run.memory_bytes,
        "replay": run.mixture.realised if run.mixture and run.kind == "adapt" else None,
        "epochs": run.mixture.most[1] if run.mixture and run.mixture.most else None,
        "seconds": run.seconds if run.starts else None,
        "disk_bytes": run.estimate.disk.kept or None,
    }


def summary(composition: Composition, *, queued: bool) -> str:
    """``queued 22 new runs (4 exist already): 20.2M tokens, 8.6T FLOPs, about 3m20s on 2 slots``."""
    new, existing = len(composition.new), len(composition.runs) - len(composition.new)
    verb = "queued" if queued else "would queue"
    slots = "one slot" if composition.slots == 1 else f"{composition.slots} slots"
    time = f", about {duration(composition.seconds)} on {slots}" if composition.seconds else ""
    noun = "run" if new == 1 else "runs"
    there = f" ({existing} there already)" if existing else ""
    flops = f", {count(composition.flops)} FLOPs" if composition.flops else ""
    return f"{verb} {new} new {noun}{there}: {count(composition.tokens)} tokens{flops}{time}"


def as_json(composition: Composition, *, queued: bool, calibrated: bool = False) -> dict[str, object]:
    """The plan for scripts: one object a run, and the sums over the new ones."""
    sharing = composition.sharing
    return {
        "queued": queued,
        "new": len(composition.new),
        "existing": len(composition.runs) - len(composition.new),
        "tokens": composition.tokens,
        "flops": composition.flops,
        "seconds": composition.seconds,
        "slots": composition.slots,
        "calibrated": calibrated,
        "disk_bytes": composition.disk_bytes,
        "free_bytes": composition.free_bytes,
        "sharing": {
            "tokens": sharing.trained_tokens,
            "tokens_apart": sharing.apart_tokens,
            "saved": sharing.saved,
            "zero_shot_evaluations": sharing.zero_shots,
            "zero_shot_uses": sharing.zero_shot_uses,
        },
        "cautions": list(composition.cautions),
        "runs": [_run_json(run) for run in composition.runs],
    }


def _run_json(run: PlannedRun) -> dict[str, object]:
    memory, disk = run.estimate.memory, run.estimate.disk
    return {
        "run": run.run_id,
        "name": run.name,
        "kind": run.kind,
        "state": run.state,
        "starts": run.starts,
        "labels": dict(run.labels),
        "budgets": list(run.budgets),
        "tokens": run.tokens,
        "steps": run.steps,
        "evaluated_tokens": run.evaluated_tokens,
        "flops": run.flops,
        "seconds": run.seconds,
        "memory_bytes": run.memory_bytes,
        "memory": None if memory is None else vars(memory),
        "mixture": None
        if run.mixture is None
        else {
            "sequences": run.mixture.sequences,
            "replayed": run.mixture.replayed,
            "realised": run.mixture.realised,
            "epochs": dict(run.mixture.epochs),
        },
        "disk": vars(disk),
    }
