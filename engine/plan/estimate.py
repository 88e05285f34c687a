"""What each run of a plan takes of the machine, before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.disk import Disk, estimate_disk
from engine.plan.memory import Memory, estimate_memory, estimate_scoring
from engine.plan.plan import Plan
from engine.plan.work import Work
from engine.spec.run import AdaptJob, DriftJob, EvaluateJob, PretrainJob, RunSpec


@dataclass(frozen=True)
class Estimate:
    """One run's needs. ``memory`` is of one process; None where the model is not known, or there is none."""

    memory: Memory | None
    disk: Disk


@dataclass(frozen=True)
class Sharing:
    """What a plan saves by doing work once."""

    trained_tokens: int
    apart_tokens: int
    """Training tokens if every state were trained from its start."""
    zero_shots: int
    """Zero-shot evaluations that run."""
    zero_shot_uses: int
    """Adaptations' uses of them."""

    @property
    def saved(self) -> float:
        """Share of the training tokens saved."""
        return 1 - self.trained_tokens / self.apart_tokens if self.apart_tokens else 0.0


def estimate_run(run: RunSpec, work: Work | None, *, gpu: bool) -> Estimate:
    """The needs of a run on a machine with or without GPUs."""
    return Estimate(_memory(run, work, gpu), estimate_disk(run, work))


def _memory(run: RunSpec, work: Work | None, gpu: bool) -> Memory | None:
    job = run.job
    if work is None or work.shape is None:
        return None
    if isinstance(job, EvaluateJob):
        return estimate_scoring(work.shape, job.evaluation, gpu=gpu)
    if isinstance(job, DriftJob):
        return estimate_scoring(work.shape, job.evaluation, gpu=gpu, models=2)
    if not isinstance(job, PretrainJob | AdaptJob):
        return None
    return estimate_memory(
        work.shape,
        job.training,
        job.evaluation,
        method=job.method if isinstance(job, AdaptJob) else None,
        budgets=work.states,
        world=run.resources.world,
        gpu=gpu,
    )


def describe_sharing(plan: Plan, runs: Sequence[RunSpec]) -> Sharing:
    """What ``runs`` of a plan save."""
    work = [plan.work[run.run_id] for run in runs if run.run_id in plan.work]
    kinds = {run.run_id: run.job.kind for run in plan.runs}
    uses = [need for run in runs if run.job.kind == "adapt" for need in run.needs if kinds.get(need) == "evaluate"]
    return Sharing(
        trained_tokens=sum(one.trained_tokens for one in work),
        apart_tokens=sum(one.apart_tokens for one in work),
        zero_shots=len(set(uses)),
        zero_shot_uses=len(uses),
    )
