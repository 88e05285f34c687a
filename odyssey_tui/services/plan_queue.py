"""From a cell of a plan to the run that would measure it: one that is there already, or a new one with its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey_tui.services.format import count, duration, size
from odyssey_tui.services.stored_laws import near
from store.errors import ConfigError

if TYPE_CHECKING:
    from odyssey_tui.services.composition import Composition
    from odyssey_tui.services.draft import Draft
    from odyssey_tui.services.plan import PlanMap
    from store.workspace import Workspace


CROSSED = (
    *("domain", "replay_ratio", "ptpp", "size", "atpp", "adapt_tokens", "wise_ft", "share"),
    *("method", "rank", "alpha", "dropout", "target_modules", "quantize", "save"),
)
"""Keys of a block that say which cells it has, or are of adapters."""


@dataclass(frozen=True)
class Wanted:
    """An adaptation to run: of a model, with a mix, to budgets."""

    domain: str
    n_params: float
    size: str
    ptpp: float
    replay_ratio: float
    atpp: tuple[float, ...]
    """Ascending; of several all are states of one trajectory."""


@dataclass(frozen=True)
class Queueable:
    """What launching would do. ``existing``: the run that has the states already, with what it is doing."""

    composition: Composition
    run_id: str
    name: str
    state: str
    """``new``, or what the existing run is doing."""
    budgets: tuple[float, ...]
    """Of its trajectory."""

    @property
    def existing(self) -> bool:
        """Whether the run is there already, whatever became of it."""
        return self.state != "new"


def wanted_at(found: PlanMap, at: tuple[int, int]) -> Wanted:
    """The adaptation that a cell of a map stands for."""
    return wanted_of(found, float(found.grid.replay_ratio[at[0]]), float(found.grid.atpp[at[1]]))


def wanted_of(found: PlanMap, replay_ratio: float, atpp: float) -> Wanted:
    """The adaptation of a plan's model with a mix to a budget."""
    model = found.basis.model
    return Wanted(found.answer.domain, model.n_params, model.label, model.ptpp, replay_ratio, (atpp,))


def tell_cost(found: Queueable) -> str:
    """What launching would do and what that takes, in lines."""
    composition = found.composition
    others = [run.name for run in composition.new if run.run_id != found.run_id]
    parts = [
        f"{count(composition.tokens)} tokens",
        f"{count(composition.flops)}FLOP",
        f"about {duration(composition.seconds)}" if composition.seconds else "not timed yet",
        f"disk ≈ {size(composition.disk_bytes)}",
    ]
    lines = [found.name, " · ".join(parts)]
    if others:
        lines += ["with what it needs:", *(f"  {name}" for name in others[:6])]
        lines += [f"  and {len(others) - 6} more"] if len(others) > 6 else []
    return "\n".join([*lines, *composition.cautions])


def find_run(workspace: Workspace, experiment: str | None, wanted: Wanted) -> Queueable:
    """The run of the experiment that adapts as wanted, of its first seed: an existing one whose trajectory passes
    through it, else a new one.

    A single budget beside a trajectory is a run of its own: joining it would make all of the trajectory anew. Raises
    ConfigError where the experiment was not launched here, or has no such model.
    """
    draft = open_experiment(workspace, experiment)
    block = block_of(draft, wanted)
    found = compose_run(workspace, draft, block)
    if not found.existing and len(wanted.atpp) == 1 and len(found.budgets) > 1:
        found = compose_run(workspace, draft, {**block, "share": False})
    return found


def compose_run(workspace: Workspace, draft: Draft, block: Mapping[str, Any]) -> Queueable:
    """What launching one more block of an experiment would do, cut to its first seed."""
    from odyssey_tui.services.composition import describe
    from odyssey_tui.services.launch import plan_block

    added = len(draft.blocks)
    plan = plan_block(workspace, replace(draft.set(("adapt", added), dict(block)), block=added), added)
    asked = [run for run in plan.runs if run.job.kind == "adapt" and added in plan.blocks.get(run.run_id, ())]
    chosen = min(asked, key=lambda run: run.seed)
    plan = replace(plan, blocks={chosen.run_id: (added,)}).of_block(added)
    composition = describe(workspace, plan)
    planned = next(run for run in composition.runs if run.run_id == chosen.run_id)
    return Queueable(composition, planned.run_id, planned.name, planned.state, planned.budgets)


def open_experiment(workspace: Workspace, name: str | None) -> Draft:
    """The experiment as launched last."""
    from odyssey_tui.services.draft import open_file
    from odyssey_tui.services.starts import list_launched

    launched = next((source for source in list_launched(workspace) if source.name == name), None)
    if launched is None:
        raise ConfigError(
            f"the points that were fitted are of {name or 'a table'}, which was not launched here",
            "Launch the experiment (3, or odyssey launch) that the run would belong to.",
        )
    return open_file(launched.path)


def block_of(draft: Draft, wanted: Wanted) -> dict[str, Any]:
    """A block of the experiment that adapts as wanted and otherwise as its blocks of that domain do.

    Raises ConfigError where the experiment has no such model.
    """
    from engine.spec.experiment import PretrainedBase

    experiment = draft.examine().require()
    of_domain = [
        (written, read)
        for written, read in zip(draft.blocks, experiment.adapt, strict=True)
        if wanted.domain in read.domain
    ]
    like = next((written for written, read in of_domain if read.method == ("full",)), {})
    kept = {key: value for key, value in like.items() if key not in CROSSED}
    if isinstance(kept.get("lr"), list):
        kept["lr"] = kept["lr"][0]
    known = {budget for block in experiment.adapt for budget in block.atpp}
    block = {
        **kept,
        "domain": wanted.domain,
        "replay_ratio": round(wanted.replay_ratio, 5),
        "atpp": [float(f"{nearest(budget, known):.6g}") for budget in wanted.atpp],
    }
    base = experiment.base
    if not isinstance(base, PretrainedBase):
        return block
    if wanted.size not in base.sizes:
        raise ConfigError(
            f"{experiment.name} has no model {wanted.size!r} to adapt",
            f"Its sizes are {', '.join(base.sizes)}; a new one is an entry of base.sizes.",
        )
    ptpp = nearest(wanted.ptpp, base.ptpp)
    if ptpp not in base.ptpp:
        raise ConfigError(
            f"{experiment.name} has no state at PTPP {wanted.ptpp:g} to adapt",
            f"Its states are at {', '.join(f'{value:g}' for value in base.ptpp)}; a new one is an entry of base.ptpp.",
        )
    return {**block, "size": wanted.size, "ptpp": ptpp}


def nearest(value: float, known: Sequence[float] | set[float]) -> float:
    """The known value within 5 %, which is what was asked for when it was measured; else the value."""
    same = [one for one in known if near(np.array([value]), one)[0]]
    return min(same, key=lambda one: abs(one - value), default=value)


def launch(workspace: Workspace, found: Queueable) -> int:
    """Queue what is new of it and make sure that a scheduler runs; returns how many runs that are."""
    from odyssey_tui.services.launch import launch as queue

    queue(workspace, found.composition)
    return len(found.composition.new)
