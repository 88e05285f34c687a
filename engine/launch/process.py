"""Telling one process from a later one with the same number: pid, start time, boot."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CLOCK_SLACK_S = 2.0
"""Start times are derived from the boot time, which shifts a little when the clock is set."""


@dataclass(frozen=True)
class Identity:
    """One process on one boot of one machine."""

    pid: int
    pid_started: float
    boot_id: str
    host: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Identity of a live process of this machine; ``psutil.NoSuchProcess`` when it has gone."""
        return cls(pid, psutil.Process(pid).create_time(), boot_id(), platform.node())

    @classmethod
    def current(cls) -> Identity:
        return cls.of(os.getpid())

    def alive(self) -> bool:
        """Whether the process still runs; one that ended and was not yet collected by its parent does not."""
        if self.boot_id != boot_id():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.pid_started) < _CLOCK_SLACK_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@cache
def boot_id() -> str:
    """Distinguishes one boot of a machine from every other."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"{platform.node()}-{psutil.boot_time():.0f}"
