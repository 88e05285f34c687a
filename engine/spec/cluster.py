"""Whether a cluster's queue can be asked as written: times, memory, and options that odyssey gives itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.spec.experiment import Experiment
from engine.spec.problems import Problem
from engine.spec.run import Slurm

NEVER_S = float("inf")
_TIMES = (
    (re.compile(r"(\d+)"), (60,)),
    (re.compile(r"(\d+):(\d+)"), (60, 1)),
    (re.compile(r"(\d+):(\d+):(\d+)"), (3600, 60, 1)),
    (re.compile(r"(\d+)-(\d+)"), (86_400, 3600)),
    (re.compile(r"(\d+)-(\d+):(\d+)"), (86_400, 3600, 60)),
    (re.compile(r"(\d+)-(\d+):(\d+):(\d+)"), (86_400, 3600, 60, 1)),
)
"""sbatch's forms of a time, and the seconds that each number counts."""
_NO_LIMIT = frozenset({"INFINITE", "UNLIMITED"})
_MEMORY = re.compile(r"\d+[KMGT]?", re.I)
_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=.*)?")

_KEYS = {
    "--partition": "slurm.partition",
    "--account": "slurm.account",
    "--qos": "slurm.qos",
    "--time": "slurm.time",
    "--mem": "slurm.memory",
    "--constraint": "slurm.constraint",
    "--nodes": "nodes",
    "--cpus-per-task": "cpu_threads",
}
"""Options that have a key of their own under ``resources``."""
_OWN = frozenset(
    {
        *("--array", "--chdir", "--comment", "--error", "--input", "--job-name", "--kill-on-invalid-dep"),
        *("--no-requeue", "--ntasks", "--ntasks-per-node", "--open-mode", "--output", "--parsable", "--quiet"),
        *("--requeue", "--signal", "--test-only", "--wait", "--wrap"),
    }
)
"""Options by which runs are told apart, found again, warned and requeued."""


def seconds_of(time: str) -> float | None:
    """Seconds of a time as sbatch takes it (``90`` minutes, ``4:00:00``, ``2-12``); None when it is none."""
    if time.upper() in _NO_LIMIT:
        return NEVER_S
    for form, units in _TIMES:
        if found := form.fullmatch(time):
            return float(sum(int(number) * unit for number, unit in zip(found.groups(), units, strict=True)))
    return None


def check_cluster(experiment: Experiment) -> Iterator[Problem]:
    """What sbatch would refuse, or what would take runs from odyssey's sight."""
    chosen, path = experiment.resources, ("resources", "slurm")
    if chosen.backend == "local":
        if chosen.slurm != Slurm():
            yield Problem(path, "is given, and the backend is local", "Set resources.backend: slurm, or remove it.")
        return
    slurm = chosen.slurm
    if slurm.time is not None and not seconds_of(slurm.time):
        advice = "Write minutes (90), hours (4:00:00) or days-hours (2-12)."
        yield Problem((*path, "time"), f"cannot be {slurm.time!r}", advice)
    if slurm.memory is not None and not _MEMORY.fullmatch(slurm.memory):
        yield Problem((*path, "memory"), f"cannot be {slurm.memory!r}", "Write a number with K, M, G or T, like 64G.")
    for index, option in enumerate(slurm.options):
        yield from _check_option(option, (*path, "options", index))


def _check_option(option: str, path: tuple[str | int, ...]) -> Iterator[Problem]:
    name = option.partition("=")[0]
    if not _OPTION.fullmatch(option):
        yield Problem(path, f"cannot be {option!r}", "Write one long option a line: --name, or --name=value.")
    elif name in _KEYS:
        yield Problem(path, f"{name} has a key of its own", f"Set resources.{_KEYS[name]} instead.")
    elif name in _OWN:
        yield Problem(path, f"{name} is odyssey's: by it runs are found, warned or requeued", "Remove it.")
