"""What a plan would do in a workspace: which runs exist, what the new ones take, and whether the disk holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import count
from odyssey_tui.services.states import StateReader
from odyssey_tui.services.timing import Calibration, Pace, read_speeds
from store.errors import WorkspaceError

if TYPE_CHECKING:
    from engine.launch.mailbox import Slot
    from engine.plan.estimate import Estimate, Sharing
    from engine.plan.mixing import PlannedMixture
    from engine.plan.plan import Plan
    from engine.spec.run import RunSpec
    from store.workspace import Workspace


@dataclass(frozen=True)
class PlannedRun:
    """A run of a plan: ``state`` is ``new``, or what the existing run is doing; ``starts``: launching starts it.

    Tokens and steps are exact; memory, seconds and disk are estimates, None where nothing is known.
    """

    run_id: str
    name: str
    kind: str
    labels: Mapping[str, Any]
    budgets: tuple[float, ...]
    state: str
    starts: bool
    tokens: int
    steps: int
    evaluated_tokens: int
    flops: float
    estimate: Estimate
    seconds: float | None
    gpu: bool
    mixture: PlannedMixture | None = None
    """Of runs that train."""

    @property
    def memory_bytes(self) -> int | None:
        """Peak of one process: on its GPU, or of all its memory where there is none."""
        memory = self.estimate.memory
        return None if memory is None else memory.model if self.gpu else memory.total


@dataclass(frozen=True)
class Composition:
    """A plan as the Launch screen and ``odyssey launch`` show it; sums are over the runs that would start."""

    runs: tuple[PlannedRun, ...]
    tokens: int
    flops: float
    seconds: float | None
    """Estimated time until all are done, on all slots; None where a run is like none that finished."""
    timed: int
    """Runs whose time is known."""
    slots: int
    sharing: Sharing
    disk_bytes: int
    """What the runs leave, and the checkpoints of those that run at once."""
    free_bytes: int
    cautions: tuple[str, ...]
    plan: Plan

    @property
    def new(self) -> tuple[PlannedRun, ...]:
        """The runs that launching starts: new ones, and failed, cancelled or lost ones again."""
        return tuple(run for run in self.runs if run.starts)

    @property
    def submissions(self) -> tuple[str, ...]:
        """What Slurm is asked for new runs: the options of sbatch, one text for all that want the same."""
        from engine.launch.slurm.script import describe_submission

        starting = {run.run_id for run in self.new}
        asked = [run.resources for run in self.plan.runs if run.run_id in starting and run.resources.backend == "slurm"]
        return tuple(dict.fromkeys(describe_submission(wanted) for wanted in asked))

    def require_cluster(self) -> None:
        """``ConfigError`` when runs are for a Slurm cluster and this machine cannot talk to one."""
        from engine.launch.slurm.client import require_programs

        if self.submissions:
            require_programs()

    def require_disk(self) -> None:
        """``WorkspaceError`` when the states to be kept alone are more than is free; estimates refuse nothing."""
        states = sum(run.estimate.disk.states for run in self.new)
        if states > self.free_bytes:
            raise WorkspaceError(
                f"the disk cannot hold this: the states to be kept take {count(states)}B, {count(self.free_bytes)}B "
                "are free",
                "Keep fewer (keep: final or none in adapt, save: adapter, fewer ptpp), or use another disk "
                "with --workspace DIR.",
            )


def find_states(workspace: Workspace, plan: Plan, states: StateReader) -> dict[str, str]:
    """What the runs of a plan that exist are doing."""
    return {run.run_id: states.state(run.run_id).state for run in plan.runs if workspace.run(run.run_id).exists()}


def starts(state: str | None) -> bool:
    """Whether launching starts a run: one that is not there, and one that failed, was cancelled or got lost."""
    from engine.launch.submit import RETRIED

    return state is None or state in RETRIED


def describe(
    workspace: Workspace,
    plan: Plan,
    calibration: Calibration | None = None,
    states: StateReader | None = None,
) -> Composition:
    """What a plan would do in the workspace; times are the calibration's where it has them, else finished runs'."""
    from engine.plan.disk import needed_bytes
    from engine.plan.estimate import describe_sharing
    from odyssey_tui.services.corpus_tokens import count_tokens
    from store.space import look_at

    found = find_states(workspace, plan, states or StateReader(workspace))
    pace = Pace(read_speeds(workspace), calibration or Calibration())
    absent = [run for run in plan.runs if starts(found.get(run.run_id))]
    tokens = count_tokens(workspace, plan)
    runs = tuple(_planned(plan, run, found.get(run.run_id), pace, tokens) for run in plan.runs)
    new = [run for run in runs if run.starts]
    disk = needed_bytes((run.estimate.disk for run in new), len(machine()))
    free = look_at(workspace.root).free_bytes
    return Composition(
        runs=runs,
        tokens=sum(run.tokens for run in new),
        flops=sum(run.flops for run in new),
        seconds=_elapsed(plan, new),
        timed=sum(run.seconds is not None for run in new),
        slots=len(machine()),
        sharing=describe_sharing(plan, absent),
        disk_bytes=disk,
        free_bytes=free,
        cautions=(
            *plan.cautions,
            *_beyond_machine(absent),
            *_short_of_disk(disk, free),
        ),
        plan=plan,
    )


def _beyond_machine(new: list[RunSpec]) -> tuple[str, ...]:
    """What new runs want and the queue of this machine can never give them."""
    from engine.launch.slots import misfit

    here = [run.resources for run in new if run.resources.backend == "local"]
    lacking = [text for wanted in here if (text := misfit(wanted, machine()))]
    if not lacking:
        return ()
    runs = "a run wants" if len(lacking) == 1 else f"{len(lacking)} runs want"
    return (f"resources: {runs} {lacking[0]}; the queue will hold {'it' if len(lacking) == 1 else 'them'}",)


def _short_of_disk(needed: int, free: int) -> tuple[str, ...]:
    if needed <= free:
        return ()
    return (f"disk: about {count(needed)}B are needed and {count(free)}B are free",)


def _planned(plan: Plan, run: RunSpec, state: str | None, pace: Pace, tokens: Mapping[str, int]) -> PlannedRun:
    from engine.plan.estimate import estimate_run
    from engine.plan.mixing import plan_mixture

    job, work = run.job, plan.work.get(run.run_id)
    gpu = has_gpu() and job.kind not in ("prepare", "fit")
    return PlannedRun(
        run_id=run.run_id,
        name=run.name,
        kind=job.kind,
        labels=run.labels,
        budgets=tuple(getattr(job, "atpp", ()) or getattr(job, "adapt_tokens", ()) or getattr(job, "ptpp", ())),
        state=state or "new",
        starts=starts(state),
        tokens=work.trained_tokens if work else 0,
        steps=work.steps if work else 0,
        evaluated_tokens=work.evaluated_tokens if work else 0,
        flops=run.cost_flops,
        estimate=estimate_run(run, work, gpu=gpu),
        seconds=pace.seconds(run, plan, has_gpu()),
        gpu=gpu,
        mixture=plan_mixture(job, work, tokens) if work and job.kind in ("pretrain", "adapt") else None,
    )


def _elapsed(plan: Plan, new: list[PlannedRun]) -> float | None:
    """Seconds until all are done: placed on the slots as the scheduler would; None where a cluster decides."""
    from engine.launch.eta import makespan

    starting = {run.run_id for run in new}
    if any(run.resources.backend == "slurm" for run in plan.runs if run.run_id in starting):
        return None

    seconds = {run.run_id: run.seconds for run in new}
    if not new or None in seconds.values():
        return None
    priorities = plan.priorities()
    queued = [run for run in plan.runs if run.run_id in seconds]
    queued.sort(key=lambda run: -priorities[run.run_id])
    return makespan({}, queued, len(machine()), lambda run: seconds[run.run_id])


def has_gpu() -> bool:
    """Whether this machine has a GPU that may be used."""
    return any(slot.gpu is not None for slot in machine())


@cache
def machine() -> tuple[Slot, ...]:
    """The slots of this machine, looked up once: a plan is drawn anew at every key."""
    from engine.launch.slots import find_slots

    return find_slots()
