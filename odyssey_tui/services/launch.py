"""From an experiment, or one block of it, to the runs that would be new; and queueing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey_tui.services.composition import Composition, describe, find_states, starts
from odyssey_tui.services.draft import changed
from odyssey_tui.services.states import StateReader
from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.launch.submit import Submitted
    from engine.plan.plan import Plan
    from engine.spec.experiment import Experiment
    from engine.spec.load import Examined
    from odyssey_tui.services.draft import Draft
    from odyssey_tui.services.timing import Calibration
    from store.workspace import Workspace

ANALYSES = ("similarity", "laws")
"""Parts of an experiment that the runs of one block have nothing to do with."""


def compose_whole(workspace: Workspace, path: Path, overrides: Sequence[str]) -> Composition:
    """Expand a whole experiment, as ``odyssey launch CONFIG`` does."""
    from engine.spec.load import load_experiment

    return describe(workspace, _expand(workspace, load_experiment(path, overrides)))


def compose(
    workspace: Workspace, draft: Draft, calibration: Calibration | None = None, states: StateReader | None = None
) -> Composition:
    """Expand a draft: the whole experiment, or the runs of its block and what they need. Raises ``ConfigError``.

    ``states`` remembers from call to call how runs are.
    """
    states = states or StateReader(workspace)
    if draft.block is None:
        return describe(workspace, _expand(workspace, draft.examine().require()), calibration, states)
    found = describe(workspace, plan_block(workspace, draft, draft.block, states), calibration, states)
    edited = [part for part in ANALYSES if changed(draft, (part,))]
    if not edited:
        return found
    words = f"{' and '.join(edited)}: edited, and left out with the runs of one block"
    return replace(found, cautions=(*found.cautions, words))


def plan_block(workspace: Workspace, draft: Draft, block: int, states: StateReader | None = None) -> Plan:
    """The runs of one adaptation block and what they need.

    Blocks that the draft replaces stay beside it where something of them was run and nothing more is to be done for
    that: the record of the launch then still holds them, and where a trajectory was trained through more budgets, it
    serves fewer. ``ConfigError`` for what is wrong with the experiment, apart from its analyses.
    """
    if not 0 <= block < len(draft.blocks):
        last = len(draft.blocks) - 1
        hint = f"Blocks are numbered 0 to {last}." if last >= 0 else "The experiment adapts nothing."
        raise ConfigError(f"there is no adaptation block {block}", hint)
    alone = _expand(workspace, examine_block(draft).require())
    replaced = [one for one in draft.opened_blocks if one not in draft.blocks]
    if replaced:
        beside = examine_block(draft.set(("adapt",), [*draft.blocks, *replaced]))
        if not beside.problems:
            both = _expand(workspace, beside.require())
            of_replaced = [run_id for run_id, asking in both.blocks.items() if max(asking) >= len(draft.blocks)]
            if any(workspace.run(run_id).exists() for run_id in of_replaced):
                states = states or StateReader(workspace)
                work, work_apart = (_new_work(workspace, plan.of_block(block), states) for plan in (both, alone))
                if work <= work_apart:
                    return _only(both, block)
    return _only(alone, block)


def _only(plan: Plan, block: int) -> Plan:
    """The block's runs, without what would be said of the analyses."""
    told = tuple(words for words in plan.cautions if words.partition(":")[0] not in ANALYSES)
    return replace(plan.of_block(block), cautions=told)


def examine_block(draft: Draft) -> Examined:
    """What is wrong with the experiment as far as one block needs it: without its analyses, if those do not fit it."""
    found = draft.examine()
    if not found.problems or not all(problem.path[:1] in [(part,) for part in ANALYSES] for problem in found.problems):
        return found
    bare = draft
    for part in ANALYSES:
        bare = bare.set((part,), None)
    return bare.examine()


def launch(workspace: Workspace, composition: Composition, level: float | None = None) -> Submitted:
    """Queue what is new and make sure that a scheduler runs.

    ``WorkspaceError`` when the disk cannot hold it, ``ConfigError`` when it is for a cluster out of reach.

    ``level`` is the priority that a person gives it: low -1, normal 0, high 1.
    """
    from engine.launch.scheduler import ensure_running
    from engine.launch.submit import submit

    composition.require_disk()
    composition.require_cluster()
    submitted = submit(workspace, composition.plan, level)
    ensure_running(workspace)
    return submitted


def _expand(workspace: Workspace, experiment: Experiment) -> Plan:
    from engine.plan.expand import expand
    from engine.plan.known import look_up

    return expand(experiment, look_up(experiment, workspace))


def _new_work(workspace: Workspace, plan: Plan, states: StateReader) -> tuple[int, int]:
    """Tokens to be trained and runs to be made, to compare plans of the same block."""
    found = find_states(workspace, plan, states)
    new = [run.run_id for run in plan.runs if starts(found.get(run.run_id))]
    return sum(plan.work[run_id].trained_tokens for run_id in new if run_id in plan.work), len(new)
