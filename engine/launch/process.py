"""Telling one process from a later one with the same number: pid, start time, boot."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FIRST_NAMESPACE = "pid:[4026531836]"
"""That of a machine itself (PROC_PID_INIT_INO of Linux); a container has another, and other process numbers."""
_CLOCK_SLACK_S = 2.0
"""Where start times count from the epoch they shift a little when the clock is set."""
_START_TICKS = 19
"""Place of the start time among the fields after the name in ``/proc/PID/stat`` (proc(5), field 22)."""


@dataclass(frozen=True)
class Identity:
    """One process on one boot of one machine."""

    pid: int
    pid_started: float
    """Seconds since the boot where the system tells, which setting the clock does not change; else since the epoch."""
    boot_id: str
    host: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Identity of a live process of this machine; ``psutil.NoSuchProcess`` when it has gone."""
        return cls(pid, start_time(psutil.Process(pid)), boot_id(), platform.node())

    @classmethod
    def current(cls) -> Identity:
        return cls.of(os.getpid())

    @property
    def elsewhere(self) -> bool:
        """Whether it was a process of another machine, of which nothing can be seen from here."""
        return self.boot_id != boot_id() and self.host != platform.node()

    def alive(self) -> bool:
        """Whether the process still runs; one that ended and was not yet collected by its parent does not."""
        if self.boot_id != boot_id():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(start_time(process) - self.pid_started) < _CLOCK_SLACK_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Instant:
    """A moment that other processes can measure from, whatever happens to the clock on the wall."""

    since_boot: float = 0.0
    """Seconds."""
    boot_id: str = ""

    @classmethod
    def now(cls) -> Instant:
        return cls(time.monotonic(), boot_id())

    def age_s(self) -> float:
        """Seconds since then; infinite where that was before this boot."""
        return time.monotonic() - self.since_boot if self.boot_id == boot_id() else float("inf")


def start_time(process: psutil.Process) -> float:
    """When a process started, in the unit of ``Identity.pid_started``; ``psutil.NoSuchProcess`` when it has gone."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return process.create_time()
    return int(fields[_START_TICKS]) / os.sysconf("SC_CLK_TCK")


@cache
def boot_id() -> str:
    """Distinguishes one boot of a machine from every other, and a container on it, whose processes only it sees."""
    try:
        booted = _BOOT_ID.read_text().strip()
    except OSError:
        booted = f"{platform.node()}-{psutil.boot_time():.0f}"
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        return booted
    return booted if numbers == _FIRST_NAMESPACE else f"{booted} {numbers}"
