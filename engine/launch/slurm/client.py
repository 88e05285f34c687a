"""sbatch, squeue, scontrol and scancel as typed calls with timeouts, in forms that Slurm has had since before 22.05.

A controller that does not answer tells nothing: whoever asked keeps what was known, and asks again later.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from store.errors import ConfigError, OdysseyError

ASK_S, SUBMIT_S = 10.0, 20.0
"""Seconds that a question, and a submission, may take: the runs on this machine wait meanwhile."""
USUAL_ARRAY_SIZE = 1001
"""Slurm's own default of MaxArraySize."""
PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel")
_AT_ONCE = 500
"""Jobs named in one command line."""
_NO_ANSWER = re.compile(
    r"timed out|unable to contact|connection refused|connect failure|transport endpoint|zero bytes|"
    r"temporarily unable|temporarily unavailable|standby mode|communication connection|unexpected message|"
    r"address already in use|no route to host|network is unreachable|try again|munge",
    re.I,
)
_GONE = re.compile(r"invalid job id|already completing or completed|already finished|not pending nor running", re.I)
_PREFIX = re.compile(r"^(sbatch|squeue|scontrol|scancel|slurm_\w+)(: (error|fatal))?: *", re.M)
_CLUSTER = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"})
_ROW = "%i|%K|%k|%T|%N|%r"


class NoAnswer(OdysseyError):
    """The controller did not answer, so nothing is known; ask again later."""


class Refused(OdysseyError):
    """Slurm does not do what was asked; the message is its own. Or there is no Slurm here."""


@dataclass(frozen=True)
class Row:
    """One job, as squeue shows it."""

    job: str
    """``1234_5``: what scancel and scontrol take."""
    batch: str
    index: int
    """Its place in the array."""
    state: str
    """``PENDING``, ``RUNNING``, …"""
    nodes: str = ""
    reason: str = ""
    """Why it waits, or why it ended, in Slurm's word; empty for ``None``."""


class Client:
    """Talks to the cluster that the environment names."""

    def submit(self, options: Sequence[str], script: Path) -> str:
        """Hand in a job; returns its number. ``Refused`` with sbatch's own words, ``NoAnswer`` when it may be there."""
        done = _call(("sbatch", "--parsable", *options, str(script)), SUBMIT_S)
        if done.returncode:
            raise _judge(done)
        return done.stdout.strip().splitlines()[-1].partition(";")[0]

    def list_jobs(self, name: str) -> list[Row]:
        """The jobs of this name that Slurm remembers, ended ones too; ``NoAnswer`` whatever goes wrong."""
        command = ("squeue", "--noheader", "--array", "--states=all", f"--name={name}", f"--format={_ROW}")
        try:
            done = _call(command, ASK_S)
        except Refused as error:
            raise NoAnswer(error.message) from error
        if done.returncode:
            raise NoAnswer(_words(done))
        return [row for line in done.stdout.splitlines() if (row := _read_row(line)) is not None]

    def cancel(self, jobs: Collection[str]) -> None:
        """End jobs; those that have ended already are as wanted."""
        self._tell("scancel", jobs, separately=True)

    def hold(self, jobs: Collection[str]) -> None:
        """Keep waiting jobs from starting."""
        self._tell("scontrol hold", jobs)

    def release(self, jobs: Collection[str]) -> None:
        """Let held jobs start."""
        self._tell("scontrol release", jobs)

    def requeue(self, job: str) -> None:
        """End a running job and have it wait again, from within or without."""
        self._tell("scontrol requeue", [job])

    def requeue_held(self, jobs: Collection[str]) -> None:
        """The same, and keep them from starting until they are released."""
        self._tell("scontrol requeuehold", jobs)

    def array_size(self) -> int:
        """MaxArraySize: places in an array are below it."""
        done = _call(("scontrol", "show", "config"), ASK_S)
        if done.returncode:
            raise NoAnswer(_words(done))
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.M)
        return int(found[1]) if found else USUAL_ARRAY_SIZE

    def exit_code(self, job: str) -> str:
        """``3:0`` (status and signal) of an ended job; empty when Slurm has forgotten it."""
        done = _call(("scontrol", "--oneliner", "show", "job", job), ASK_S)
        found = re.search(r"\bExitCode=(\d+:\d+)", done.stdout)
        return found[1] if found and not done.returncode else ""

    def _tell(self, command: str, jobs: Collection[str], *, separately: bool = False) -> None:
        named = list(jobs)
        for start in range(0, len(named), _AT_ONCE):
            part = named[start : start + _AT_ONCE]
            done = _call((*command.split(), *(part if separately else [",".join(part)])), ASK_S)
            if done.returncode and not _GONE.search(done.stderr):
                raise _judge(done)


def require_programs() -> None:
    """``ConfigError`` where this machine cannot talk to a Slurm cluster."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"resources.backend is slurm, and {platform.node()} has no {missing[0]} on its PATH",
            "Launch from a login node of the cluster (perhaps after `module load slurm`), or set backend: local.",
        )


def _call(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"{command[0]} did not answer within {timeout_s:g} s") from error
    except FileNotFoundError as error:
        raise Refused(f"{platform.node()} has no {command[0]} on its PATH") from error


def _environment() -> dict[str, str]:
    """Ours, without what users set for their eyes, nor what a job that we may be in would pass on to the next."""
    others = ("SLURM_", "SLURMD_", "SQUEUE_", "SCANCEL_")
    return {name: value for name, value in os.environ.items() if name in _CLUSTER or not name.startswith(others)}


def _judge(done: subprocess.CompletedProcess[str]) -> OdysseyError:
    words = _words(done)
    return NoAnswer(words) if _NO_ANSWER.search(words) else Refused(words)


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """What a program said in complaint, in one line."""
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    lines = dict.fromkeys(_PREFIX.sub("", line).strip() for line in said)
    return "; ".join(line for line in lines if line) or f"{done.args[0]} ended with status {done.returncode}"


def _read_row(line: str) -> Row | None:
    """A line of squeue; None for a job that is no part of an array, which none of ours is."""
    job, index, batch, state, nodes, reason = (part.strip() for part in line.split("|", 5))
    if not index.isdecimal():
        return None
    return Row(job, batch, int(index), state, nodes, "" if reason in ("None", "(null)") else reason)
