"""One adaptation of an experiment: which runs it takes, what they are doing, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey_tui.services.format import bar, count, duration, number
from odyssey_tui.services.launch import compose_whole
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from engine.launch.foreground import Moment
    from engine.plan.plan import Plan
    from engine.spec.run import RunSpec
    from odyssey_tui.services.run_detail import EvaluationLine
    from store.workspace import Workspace

LISTED = 12


@dataclass(frozen=True)
class Adaptation:
    """One adaptation and everything it needs, in the order in which it is executed; the adaptation comes last."""

    specs: tuple[RunSpec, ...]
    plan: Plan

    @property
    def spec(self) -> RunSpec:
        return self.specs[-1]


@dataclass(frozen=True)
class Outcome:
    """What an adaptation came to."""

    evaluations: tuple[EvaluationLine, ...]
    checkpoints: tuple[Path, ...]
    """Folders of the states it kept."""


def choose_adaptation(workspace: Workspace, path: Path, overrides: Sequence[str], name: str) -> Adaptation:
    """The adaptation called ``name`` (name, id or an unambiguous beginning); it may be empty where there is only one.

    Raises ConfigError, listing them, when there are several or none of that name.
    """
    plan = compose_whole(workspace, path, overrides).plan
    cells = [run for run in plan.runs if run.job.kind == "adapt"]
    if not cells:
        raise ConfigError(f"{path}: there is nothing to adapt", "Add an `adapt` block; `odyssey launch` runs the rest.")
    exact = [run for run in cells if name in (run.run_id, run.name)]
    chosen = exact or [run for run in cells if run.run_id.startswith(name) or run.name.startswith(name)]
    if len(chosen) != 1:
        names = [run.name for run in chosen or cells]
        if len(set(names)) < len(names):
            names = [run.run_id for run in chosen or cells]
        listed = "\n".join(f"    {known}" for known in names[:LISTED])
        more = f"\n    and {len(names) - LISTED} more" if len(names) > LISTED else ""
        if not chosen:
            hint = suggest(name, names, "Give one of them with --run.")
            raise ConfigError(f"{path}: no adaptation is called '{name}':\n{listed}{more}", hint)
        raise ConfigError(
            f"{path}: {len(chosen)} adaptations{f' begin with {name!r}' if name else ''}:\n{listed}{more}",
            "Choose one with --run NAME, or queue all of them with `odyssey launch`.",
        )
    return Adaptation(needed_by(plan, chosen[0].run_id), plan)


def needed_by(plan: Plan, run_id: str) -> tuple[RunSpec, ...]:
    """The run and all that it needs, in the plan's order (needs first)."""
    wanted = {run_id}
    for run in reversed(plan.runs):
        if run.run_id in wanted:
            wanted.update(run.needs)
    return tuple(run for run in plan.runs if run.run_id in wanted)


def read_outcome(workspace: Workspace, run_id: str) -> Outcome:
    """Scores before and after, and the states that were kept."""
    from odyssey_tui.services.run_detail import read_detail

    folders = sorted(workspace.run(run_id).path.glob("checkpoints/[!.]*"), key=lambda path: path.stat().st_mtime)
    kept = tuple(folder for folder in folders if folder.name != "resume")
    return Outcome(read_detail(workspace, run_id, log_lines=0).evaluations, kept)


def progress_line(moment: Moment, place: str, width: int | None = None) -> str:
    """``[4/5] adapt-x ████··  63% annealing atpp1 · 12.3k tokens/s · loss 3.214 · 2m10s left``.

    Of what is wider than ``width`` the bar goes first, then the speed, rather than the time that is left.
    """
    state, values = moment.state, moment.values
    share = min(1.0, state.done / state.total) if state.total else 0.0
    doing = moment.note or (state.phase if state.state == "running" else state.state)
    speed = f"{count(values['tokens_per_s'])} tokens/s" if "tokens_per_s" in values else ""
    loss = f"loss {number(values['loss'])}" if "loss" in values else ""
    left = f"{duration(state.eta_s)} left" if state.eta_s is not None else ""

    def line(drawn: str, *parts: str) -> str:
        told = " · ".join(part for part in parts if part)
        return " ".join(part for part in (place, moment.spec.name, drawn, f"{share:4.0%}", told) if part)

    drawn = bar(share, 12)
    lines = [
        line(drawn, doing, speed, loss, left),
        line("", doing, speed, loss, left),
        line(drawn, doing, loss, left),
        line("", doing, loss, left),
    ]
    fitting = (found for found in lines if width is None or len(found) <= width)
    return next(fitting, lines[-1][:width])


def describe_elsewhere(elsewhere: Mapping[str, str], specs: Sequence[RunSpec]) -> str:
    """Which runs somebody else has: ``prepare: it is running in the queue``."""
    names = {spec.run_id: spec.name for spec in specs}
    return "; ".join(f"{names[run_id]}: {reason}" for run_id, reason in elsewhere.items())
