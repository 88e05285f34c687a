"""What is handed to sbatch: its options, and a script that a person can read and submit again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping

from engine.launch.mailbox import Slot
from engine.launch.workers import worker_environment
from engine.spec.cluster import NEVER_S, seconds_of
from engine.spec.run import Resources

TASK = (sys.executable, "-P", "-m", "engine.slurm_task")
"""What a job executes, given WORKSPACE and BATCH: its place in the array says which run."""
WARNING_S = 120
"""Slurm warns so long before a job's time is over: time to reach a safe point and to write a checkpoint."""
_GPU_OPTIONS = ("--gres", "--gpus", "--gpus-per-node", "--gpus-per-task")


def job_options(wanted: Resources) -> tuple[str, ...]:
    """Options that follow from a run's resources: one task on each node, which starts the processes there."""
    slurm = wanted.slurm
    named = {
        "partition": slurm.partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "time": slurm.time,
        "mem": slurm.memory,
        "constraint": slurm.constraint,
        "nodes": wanted.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": wanted.cpu_threads * wanted.ranks_per_node,
    }
    own_gpus = any(option.partition("=")[0] in _GPU_OPTIONS for option in slurm.options)
    gpus = (f"--gres=gpu:{wanted.gpus}",) if wanted.gpus and not own_gpus else ()
    return (*(f"--{name}={value}" for name, value in named.items() if value is not None), *gpus, *slurm.options)


def array_option(places: int, wanted: Resources) -> str:
    """``--array=0-9%4``: so many jobs, of which so many at once."""
    at_once = wanted.slurm.at_once
    return f"--array=0-{places - 1}{f'%{at_once}' if at_once else ''}" if places > 1 else "--array=0"


def keeping_options(wanted: Resources) -> tuple[str, ...]:
    """Options that let a run go on: warned before its time is over, queued again after a preemption."""
    return (f"--signal=B:USR1@{warning_s(wanted)}", "--requeue", "--open-mode=append")


def warning_s(wanted: Resources) -> int:
    """Seconds before the end of its time at which a job is warned."""
    limit_s = seconds_of(wanted.slurm.time) if wanted.slurm.time else NEVER_S
    return max(1, int(min(WARNING_S, limit_s / 2)))


def write_script(
    wanted: Resources, options: tuple[str, ...], names: tuple[str, ...], arguments: tuple[str, ...]
) -> str:
    """The text of the script. ``names`` says in a comment which run is at which place."""
    lines = [
        "#!/bin/bash",
        f"# Submitted as: sbatch {shlex.join(options)} SCRIPT",
        *(f"# {index}: {name}" for index, name in enumerate(names)),
        "",
        *(f"export {name}={shlex.quote(value)}" for name, value in _environment(wanted).items()),
        *wanted.slurm.setup,
        f"exec {shlex.join((*TASK, *arguments))}",
    ]
    return "\n".join(lines) + "\n"


def describe_submission(wanted: Resources) -> str:
    """The options of sbatch that follow from what runs want, as a plan shows them."""
    return " ".join((*job_options(wanted), *keeping_options(wanted)))


def _environment(wanted: Resources) -> Mapping[str, str]:
    """What a worker needs from its start; Slurm itself says which GPUs it may see."""
    own = worker_environment(Slot("slurm", None, 1), wanted.cpu_threads, {})
    return {name: value for name, value in own.items() if name != "CUDA_VISIBLE_DEVICES" or not wanted.gpus}
