"""Which GPUs other people use now: a card on which they hold memory is left to them until it is free again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from engine.launch.gpus import Gpu, GpuProcess, read_gpus
from engine.launch.mailbox import Mailbox, Slot, Watched, parse_card, parse_order
from store.errors import OdysseyError
from store.workspace import Workspace

MB = 1_000_000
LOOK_S = 3.0
"""Asking the driver takes up to some tenths of a second."""
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_FIRST_NAMESPACE = 0xEFFFFFFC
"""Inode of the machine's own process namespace (linux/proc_ns.h)."""


@dataclass(frozen=True)
class Own:
    """This workspace's processes: its workers, in the queue or in a foreground, and what they have started."""

    pids: frozenset[int] = frozenset()
    computed: Mapping[str, int] = field(default_factory=dict)
    """How many of them hold memory of each GPU, or may."""


def list_own(workspace: Workspace) -> Own:
    """Look at the workers' own accounts of themselves."""
    pids: set[int] = set()
    computed: dict[str, int] = {}
    for folder in workspace.workers.glob("*"):
        mailbox = Mailbox(folder)
        try:
            card, order = Watched(mailbox.card, parse_card).read(), Watched(mailbox.inbox, parse_order).read()
            slot = mailbox.read_slot()
        except (FileNotFoundError, OdysseyError):
            continue
        if card is None or not card.identity.alive():
            continue
        pids |= _family(card.identity.pid)
        for uuid in (slot.gpu or "").split(",") if order is not None and order.seq else ():
            computed[uuid] = computed.get(uuid, 0) + 1
    return Own(frozenset(pids), computed)


def _family(pid: int) -> set[int]:
    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def contained(namespace: Path = _PID_NAMESPACE) -> bool:
    """Whether processes here are numbered apart from the machine's, so that the driver's numbers may mean nobody."""
    try:
        return namespace.stat().st_ino != _FIRST_NAMESPACE
    except OSError:
        return False


def held_by_others(gpu: Gpu, own: Own, contained: bool) -> tuple[int | None, tuple[GpuProcess, ...]]:
    """Bytes of a GPU that are not this workspace's, and the processes that hold them, as far as they can be told.

    None where somebody is there and nothing says how much he holds. In a container the driver may list processes by
    numbers of the machine, or none at all: as many nameless ones as there must be of ours, the smallest, pass for ours.
    """
    listed = gpu.processes or ()
    mine = [process for process in listed if process.pid in own.pids]
    others = sorted((process for process in listed if process.pid not in own.pids), key=_size)
    unseen = max(0, own.computed.get(gpu.uuid, 0) - len(mine))
    if contained:
        nameless = [process for process in others if process.command is None][:unseen]
        mine += nameless
        unseen -= len(nameless)
        others = [process for process in others if process not in nameless]
    others.reverse()
    told = sum(process.memory or 0 for process in others)
    known = all(process.memory is not None for process in others)
    if gpu.processes is not None and known and not contained:
        return told, tuple(others)
    apart = all(process.memory is not None for process in mine) and not (unseen and not listed)
    if gpu.memory_used is None or not apart:
        # What is ours cannot be told from the rest: what is listed as somebody else's counts.
        return (told if known else None), tuple(others)
    return max(0, gpu.memory_used - sum(process.memory or 0 for process in mine)), tuple(others)


def _size(process: GpuProcess) -> int:
    return process.memory or 0


class Occupancy:
    """Which of the slots' GPUs others use, looked at every few seconds while it matters."""

    def __init__(
        self,
        workspace: Workspace,
        slots: Sequence[Slot],
        *,
        read: Callable[[], tuple[Gpu, ...]] = read_gpus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.busy: dict[str, str] = {}
        """By whom a GPU is used, in words, under the name that slots give it."""
        self._workspace = workspace
        self._used = {slot.gpu for slot in slots if slot.gpu is not None}
        self._read = read
        self._clock = clock
        self._looked: float | None = None
        self._contained = contained()

    def look(self) -> bool:
        """Ask the driver unless that was done just now; returns whether a GPU became busy or free."""
        now = self._clock()
        if not self._used or (self._looked is not None and now - self._looked < LOOK_S):
            return False
        self._looked = now
        before, self.busy = self.busy, self._find_busy()
        return before.keys() != self.busy.keys()

    def _find_busy(self) -> dict[str, str]:
        own = list_own(self._workspace)
        limit = self._workspace.settings.busy_gpu_mb * MB
        found = dict.fromkeys(self._used, "the driver does not show it")
        for gpu in self._read():
            found.pop(gpu.uuid, None)
            held, others = held_by_others(gpu, own, self._contained)
            if gpu.uuid in self._used and (held is None or held > limit):
                found[gpu.uuid] = describe(held, others)
        return found


def describe(held: int | None, others: Sequence[GpuProcess]) -> str:
    """Who has how much of a GPU: its largest process by name."""
    size = "an unknown amount" if held is None else f"{held / 1e9:.1f} GB"
    if not others:
        return f"others hold {size}"
    largest = others[0]
    who = f"{largest.user}: {largest.command}" if largest.command else f"process {largest.pid}"
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"{who[:60]}{more} ({size})"
