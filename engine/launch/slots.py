"""Slots of this machine: one per visible GPU, or one per CPU core."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.launch.mailbox import Slot
from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.spec.run import Resources

SLOTS_VARIABLE = "ODYSSEY_SLOTS"
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def find_slots(environment: Mapping[str, str] = os.environ) -> tuple[Slot, ...]:
    """The slots to fill. ODYSSEY_SLOTS sets their number; on GPUs more slots than devices share them in turn."""
    gpus, cores, wanted = list_gpus(environment), count_cores(), slots_wanted(environment)
    if not gpus:
        return tuple(Slot(f"cpu{index}", None, 1) for index in range(wanted or cores))
    count = wanted or len(gpus)
    threads = max(1, cores // count)
    return tuple(Slot(f"gpu{index}", gpus[index % len(gpus)], threads) for index in range(count))


def choose_slots(free: Sequence[Slot], number: int) -> Slot | None:
    """``number`` of the free slots as one, each with a GPU of its own where slots have any; None if they do not do."""
    chosen: list[Slot] = []
    for slot in free:
        if len(chosen) < number and (slot.gpu is None or slot.gpu not in {other.gpu for other in chosen}):
            chosen.append(slot)
    if len(chosen) < number:
        return None
    gpus = [slot.gpu for slot in chosen if slot.gpu is not None]
    name = "+".join(slot.name for slot in chosen)
    return Slot(name, ",".join(gpus) if gpus else None, sum(slot.threads for slot in chosen))


def widest(slots: Sequence[Slot]) -> int:
    """How many processes of one run the slots can execute at a time."""
    gpus = {slot.gpu for slot in slots if slot.gpu is not None}
    return len(gpus) or len(slots)


def misfit(wanted: Resources, slots: Sequence[Slot]) -> str:
    """What a run wants that one machine with these slots can never give, and what that has; empty when it can."""
    gpus = len({slot.gpu for slot in slots if slot.gpu is not None})
    if wanted.nodes > 1:
        return f"{wanted.nodes} machines"
    if wanted.gpus > gpus:
        return f"{wanted.gpus} GPU{'s' if wanted.gpus > 1 else ''}; this machine has {gpus or 'none'}"
    if wanted.ranks_per_node > widest(slots):
        return f"{wanted.ranks_per_node} processes at a time; this machine has slots for {widest(slots)}"
    return ""


def slots_wanted(environment: Mapping[str, str] = os.environ) -> int | None:
    """The number in ODYSSEY_SLOTS, or None; ``ConfigError`` when it is no positive number."""
    text = environment.get(SLOTS_VARIABLE, "").strip()
    if not text:
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ConfigError(f"{SLOTS_VARIABLE}={text} is no number of slots", "Set it to 1 or more, or unset it.")


def list_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Visible CUDA devices, as values for CUDA_VISIBLE_DEVICES; empty without a driver."""
    import pynvml

    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # As CUDA does: the list ends at the first entry that names no device.
        named = [part.strip() for part in visible.split(",")]
        known = [part != "" and part != "-1" for part in named]
        named = named[: known.index(False)] if False in known else named
        if not named:
            return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        count = pynvml.nvmlDeviceGetCount()
    finally:
        pynvml.nvmlShutdown()
    present = [str(index) for index in range(count)]
    if visible is None:
        return present
    return [part for part in named if not part.isdecimal() or part in present]


def count_cores() -> int:
    """Cores this process may use: its affinity, capped by the container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))
