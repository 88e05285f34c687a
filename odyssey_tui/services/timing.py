"""How long planned runs should take: from finished runs like them, or from a calibration."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store.errors import DataError

if TYPE_CHECKING:
    from engine.plan.plan import Plan
    from engine.spec.run import RunSpec
    from odyssey_tui.services.asking import Started
    from odyssey_tui.services.composition import Composition
    from store.queries.speeds import Speed
    from store.workspace import Workspace

NEAR = 3.0
"""A finished run of the same kind whose N is within this factor tells the FLOPs per second of another."""
CALIBRATION_S = 2.0
EVALUATED_SHARE = 1 / 3
"""A token that is scored takes a third of one that is trained: forward only."""
STARTUP_S = 1.0


@dataclass(frozen=True)
class Calibration:
    """Training tokens per second, by ``case_key`` and by N."""

    cases: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[int, float] = field(default_factory=dict)

    def rate(self, run: RunSpec, plan: Plan) -> float | None:
        """Of the run's own case; of any training of its model for a run that only scores it."""
        work = plan.work[run.run_id]
        return self.cases.get(case_key(run, plan)) if work.trained_tokens else self.sizes.get(work.n_params)


@dataclass(frozen=True)
class Pace:
    """What is known of speed on this machine."""

    speeds: tuple[Speed, ...] = ()
    calibration: Calibration = Calibration()

    def seconds(self, run: RunSpec, plan: Plan, gpu: bool) -> float | None:
        """Expected seconds of a run; None without anything like it."""
        work = plan.work.get(run.run_id)
        if work and (rate := self.calibration.rate(run, plan)):
            return STARTUP_S + (work.trained_tokens + EVALUATED_SHARE * work.evaluated_tokens) / rate
        like = [speed for speed in self.speeds if _alike(speed, run, gpu)]
        if not work:
            runs = sum(speed.runs for speed in like)
            return sum(speed.seconds for speed in like) / runs if runs else None
        like = [speed for speed in like if speed.flops > 0]
        if work.trained_tokens:
            like = _nearest(like, work.n_params)
        flops, seconds = sum(speed.flops for speed in like), sum(speed.seconds for speed in like)
        return work.flops / (flops / seconds) if flops and work.flops else None


def _alike(speed: Speed, run: RunSpec, gpu: bool) -> bool:
    job = run.job
    training = getattr(job, "training", None)
    method = getattr(job, "method", None)
    return (
        speed.kind == job.kind
        and (speed.device or "").startswith("cuda") == (gpu and job.kind not in ("prepare", "fit"))
        and speed.precision == (training.precision if training else None)
        and speed.method == (method.name if method else "full")
        and (training is None or speed.world == run.resources.world)
    )


def _nearest(speeds: Sequence[Speed], n_params: int) -> list[Speed]:
    """Those whose model is nearest in size, if it is near at all."""
    sized = [(abs(math.log(speed.n_params / n_params)), speed) for speed in speeds if speed.n_params and n_params]
    if not sized:
        return []
    least = min(distance for distance, _ in sized)
    return [speed for distance, speed in sized if distance == least] if least <= math.log(NEAR) else []


def read_speeds(workspace: Workspace) -> tuple[Speed, ...]:
    """What the workspace's finished runs say; nothing before there is a database."""
    from store.database import lease
    from store.queries.speeds import list_speeds

    try:
        found = os.stat(workspace.database_path)
    except FileNotFoundError:
        return ()
    key, signature = str(workspace.database_path), (found.st_ino, found.st_size, found.st_mtime_ns)
    if (known := _speeds.get(key)) is not None and known[0] == signature:
        return known[1]
    with lease(workspace) as con:
        speeds = tuple(list_speeds(con))
    _speeds[key] = signature, speeds
    return speeds


_speeds: dict[str, tuple[tuple[int, int, int], tuple[Speed, ...]]] = {}
"""By database file as it was read: a plan is drawn anew at every key."""


def case_key(run: RunSpec, plan: Plan) -> str:
    """What a calibration is for: model, training and method; the learning rate makes no step slower."""
    return json.dumps(_case(run, plan), sort_keys=True)


def _case(run: RunSpec, plan: Plan) -> dict[str, Any]:
    job, work = run.job, plan.work[run.run_id]
    training = job.training.model_dump(mode="json", exclude={"lr"})
    if job.kind == "pretrain":
        model = {"architecture": job.architecture.content()}
    elif job.base.run is not None:
        source = next(other.job for other in plan.runs if other.run_id == job.base.run)
        model = {"architecture": source.architecture.content()}
    else:
        model = {"model": job.base.content()}
    vocabulary = work.shape.vocabulary if work.shape else None
    method = job.method.content() if job.kind == "adapt" else None
    return {**model, "vocabulary": vocabulary, "training": training, "method": method}


def distinct_cases(plan: Plan, runs: Sequence[RunSpec]) -> list[str]:
    """The keys of what differs in speed among the runs that train."""
    return list(dict.fromkeys(case_key(run, plan) for run in runs if run.job.kind in ("pretrain", "adapt")))


def calibrate_new(composition: Composition, started: Started | None = None) -> Calibration:
    """Time what a composition would start. ``DataError`` when that fails."""
    starting = {run.run_id for run in composition.new}
    runs = [run for run in composition.plan.runs if run.run_id in starting]
    threads = max((run.resources.cpu_threads for run in runs), default=1)
    return calibrate(composition.plan, runs, threads, started)


def calibrate(plan: Plan, runs: Sequence[RunSpec], threads: int, started: Started | None = None) -> Calibration:
    """Train a few steps of every distinct (model, training) among ``runs`` in a child process, seconds each.

    ``started`` gets the process, for who may want to end it. ``DataError`` when it fails.
    """
    cases = distinct_cases(plan, runs)
    request = json.dumps({"cases": [json.loads(case) for case in cases], "seconds": CALIBRATION_S, "threads": threads})
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.train.calibrate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        if started is not None:
            started(process)
        told, complaints = process.communicate(request)
    if process.returncode:
        reason = (complaints.strip().splitlines() or ["no output"])[-1]
        raise DataError(f"the calibration failed: {reason[:200]}", "Leave --calibrate out, or correct what it names.")
    rates = dict(zip(cases, json.loads(told), strict=True))
    trained = [run for run in runs if run.job.kind in ("pretrain", "adapt")]
    return Calibration(rates, {plan.work[run.run_id].n_params: rates[case_key(run, plan)] for run in trained})
