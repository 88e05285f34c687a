"""Slots of this machine: one or several per visible GPU, or one per CPU core."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.launch.gpus import Gpu, read_gpus
from engine.launch.mailbox import Slot
from store.errors import ConfigError

if TYPE_CHECKING:
    from engine.spec.run import Resources

SLOTS_VARIABLE = "ODYSSEY_SLOTS"


def find_slots(environment: Mapping[str, str] = os.environ, runs_per_gpu: int = 1) -> tuple[Slot, ...]:
    """The slots to fill. ODYSSEY_SLOTS sets their number; more slots than GPUs share them in turn."""
    gpus, cores, wanted = read_gpus(environment), count_cores(), slots_wanted(environment)
    if not gpus:
        return tuple(Slot(f"cpu{index}", None, 1) for index in range(wanted or cores))
    count = wanted or len(gpus) * runs_per_gpu
    threads = max(1, cores // count)
    names = name_gpus(gpus)
    rounds = -(-count // len(gpus))
    return tuple(
        Slot(names[place] if rounds == 1 else f"{names[place]}.{share}", gpus[place].uuid, threads)
        for share, place in (divmod(index, len(gpus)) for index in range(count))
    )


def name_gpus(gpus: Sequence[Gpu]) -> list[str]:
    """``gpu1`` as ``nvidia-smi`` counts; parts of a divided card are ``gpu1mig0``, ``gpu1mig1``."""
    parts = dict.fromkeys((gpu.index for gpu in gpus), 0)
    names = []
    for gpu in gpus:
        names.append(f"gpu{gpu.index}mig{parts[gpu.index]}" if gpu.mig else f"gpu{gpu.index}")
        parts[gpu.index] += 1
    return names


def choose_slots(free: Sequence[Slot], number: int, slots: Sequence[Slot] = ()) -> Slot | None:
    """``number`` of the free slots as one; None if they do not do. ``slots`` are all there are, if others are taken.

    Where slots have GPUs, several take as many whole ones, with every slot of each. CUDA joins no MIG instances.
    """
    if number == 1:
        return free[0] if free else None
    chosen: list[Slot] = []
    gpus: list[str] = []
    for slot in free:
        if len(gpus or chosen) == number:
            break
        if slot.gpu is None:
            chosen.append(slot)
        elif slot.gpu not in gpus and not slot.gpu.startswith("MIG-"):
            card = [other for other in slots or free if other.gpu == slot.gpu]
            if all(other in free for other in card):
                chosen += card
                gpus.append(slot.gpu)
    if len(gpus or chosen) < number:
        return None
    name = "+".join(slot.name for slot in chosen)
    return Slot(name, ",".join(gpus) if gpus else None, sum(slot.threads for slot in chosen))


def widest(slots: Sequence[Slot]) -> int:
    """How many processes of one run the slots can execute at a time."""
    gpus = {slot.gpu for slot in slots if slot.gpu is not None}
    whole = sum(not gpu.startswith("MIG-") for gpu in gpus)
    return max(whole, 1) if gpus else len(slots)


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


def count_cores(root: Path = Path("/")) -> int:
    """Cores this process may use: its affinity, capped by the CPU quotas of its control groups (version 2 or 1)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([cores, *(max(1, int(quota)) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """CPUs that each control group above this process may use at a time, where it has a limit."""
    groups = root / "sys/fs/cgroup"
    for folder in {*_groups(root, groups, ""), *_groups(root, groups / "unified", "")}:
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period:
            yield int(quota) / int(period)
    for folder in {*_groups(root, groups / "cpu", "cpu"), *_groups(root, groups / "cpu,cpuacct", "cpu")}:
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period:
            yield int(quota) / int(period)


def _groups(root: Path, mount: Path, controller: str) -> Iterator[Path]:
    """Where ``mount`` shows this process's control group, and all that hold it. In a container only the mount itself
    may be there, whatever the path says."""
    yield mount
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own = Path(path.lstrip("/"))
        if controller in controllers.split(",") and ".." not in own.parts:
            yield from (mount / group for group in (own, *own.parents))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
