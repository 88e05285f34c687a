"""``odyssey store gc``."""

from __future__ import annotations

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import say_wrapped
from odyssey_tui.services.format import size
from odyssey_tui.services.tidying import DAY_S, TidyPlan, plan_tidying, tidy

COLUMNS = (
    Column("what", "what"),
    Column("number", "number"),
    Column("bytes", "frees", size),
    Column("example", "such as", drop=1),
)
KINDS = {
    "temporary": "files of interrupted writes",
    "resume point": "points to resume from, of runs that are done",
    "reserve": "reserves of ended attempts",
    "quarantine": "damaged shards set aside",
    "backup": "automatic backups of the database",
    "cache": "cached texts that no run reads",
    "worker": "folders of dead workers",
}
TIERS = {
    "documents": "evaluations: losses of tokens; sums by document and token type stay",
    "summary": "evaluations: all but their means",
}


@click.command()
@click.option("--quota", type=click.FloatRange(min=0), metavar="GB", help="Losses to keep (default: settings.toml).")
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    default=14.0,
    show_default=True,
    metavar="N",
    help="What is younger stays.",
)
@click.option("--yes", "-y", is_flag=True, help="Delete what is listed.")
@click.option("--json", is_flag=True, help="Print every file and evaluation as JSON.")
@click.pass_obj
def gc(invocation: Invocation, quota: float | None, keep_days: float, yes: bool, json: bool) -> int:
    """List what could go; --yes deletes it.

    Losses go only with a quota: the oldest first, those of pinned, tagged or noted runs and those that others are
    compared with last. Losses, caches, backups and damaged shards younger than --keep-days stay, and so does whatever
    an unfinished run needs.
    """
    workspace = invocation.open()
    limit = quota if quota is not None else workspace.settings.quota_gb
    quota_bytes = None if limit is None else limit * 1e9
    plan = plan_tidying(workspace, quota_bytes=quota_bytes, keep_s=keep_days * DAY_S)
    if json:
        emit_json(_as_json(plan))
    else:
        emit_table(COLUMNS, _rows(plan), empty="nothing could go")
        _say(plan)
        if not yes and (plan.leftovers or plan.compacts):
            say_wrapped(f"{size(plan.n_bytes)} in all; 'odyssey store gc --yes' with the same options deletes it")
    if not yes or not (plan.leftovers or plan.compacts):
        return Exit.OK
    before, after = tidy(workspace, plan)
    files = sum(leftover.n_bytes for leftover in plan.leftovers)
    say_wrapped(f"deleted {size(files)} of files; the database had {size(before)} and has {size(after)}")
    return Exit.OK


def _rows(plan: TidyPlan) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for kind, words in KINDS.items():
        found = [leftover for leftover in plan.leftovers if leftover.kind == kind]
        if found:
            example = "/".join(found[0].path.parts[-3:])
            rows.append(
                {"what": words, "number": len(found), "bytes": sum(f.n_bytes for f in found), "example": example}
            )
    for kept, words in TIERS.items():
        drops = [drop for drop in plan.drops if drop.kept == kept]
        if drops:
            freed = sum(drop.n_bytes for drop in drops)
            rows.append({"what": words, "number": len(drops), "bytes": freed, "example": drops[0].run_id})
    if plan.compacts and plan.unused_bytes:
        rows.append({"what": "unused room in the database", "number": 1, "bytes": plan.unused_bytes, "example": ""})
    return rows


def _say(plan: TidyPlan) -> None:
    held = f"losses take {size(plan.loss_bytes)}"
    if plan.quota_bytes is None:
        say_wrapped(f"{held}; there is no quota (--quota GB, or quota_gb in settings.toml)")
    else:
        say_wrapped(f"{held} of a quota of {size(plan.quota_bytes)}")
    valued = sum(drop.valued for drop in plan.drops)
    if valued:
        say_wrapped(f"{valued} of the evaluations are of marked runs, or others are compared with them")
    if plan.beyond_reach:
        say_wrapped("the quota cannot be kept: the rest is younger than --keep-days, or unfinished runs need it")


def _as_json(plan: TidyPlan) -> dict[str, object]:
    return {
        "loss_bytes": plan.loss_bytes,
        "quota_bytes": plan.quota_bytes,
        "unused_bytes": plan.unused_bytes,
        "evaluations": [
            {"evaluation": drop.evaluation_id, "run": drop.run_id, "kept": drop.kept, "bytes": round(drop.n_bytes)}
            for drop in plan.drops
        ],
        "files": [
            {"kind": leftover.kind, "path": str(leftover.path), "bytes": leftover.n_bytes}
            for leftover in plan.leftovers
        ],
    }
