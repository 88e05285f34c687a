"""Whether the kernel ends processes for want of memory: it counts whom it killed, here or in the whole machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/vmstat")
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def count_memory_kills() -> int | None:
    """Processes that the kernel ended so far for want of memory in this control group, or where groups are not to be
    seen, on this machine; None where it does not say."""
    for path in _counters():
        try:
            found = _COUNT.search(path.read_text())
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return None


def _counters() -> Iterator[Path]:
    """Files that may hold the count, the nearest first: cgroup version 2, version 1, the kernel's own statistics."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield _CGROUPS / path.lstrip("/") / "memory.events"
            yield _CGROUPS / "memory.events"
        elif "memory" in controllers.split(","):
            yield _CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control"
            yield _CGROUPS / "memory" / "memory.oom_control"
    yield _MACHINE
