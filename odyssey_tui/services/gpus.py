"""The GPUs of this machine, and whose processes use them: runs of a workspace by name, others by user and command."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import OdysseyError

if TYPE_CHECKING:
    from engine.launch.gpus import Gpu, GpuProcess
    from store.workspace import Workspace


@dataclass(frozen=True)
class GpuUser:
    """A process on a GPU."""

    pid: int
    who: str
    """``run NAME (WORKSPACE)``, or ``USER: COMMAND``."""
    memory: int | None
    """Bytes."""
    own: bool
    """Whether it works for the workspace that was asked about."""


@dataclass(frozen=True)
class GpuRow:
    """A GPU and who uses it, the largest first; ``users`` is None where the driver does not list them."""

    name: str
    """As slots are called."""
    gpu: Gpu
    users: tuple[GpuUser, ...] | None


def read_gpu_rows(workspace: Workspace | None) -> tuple[GpuRow, ...]:
    """The visible GPUs; empty without a driver or a card."""
    from engine.launch.gpus import read_gpus
    from engine.launch.slots import name_gpus

    gpus = read_gpus()
    rows = []
    for name, gpu in zip(name_gpus(gpus), gpus, strict=True):
        largest_first = sorted(gpu.processes or (), key=lambda process: -(process.memory or 0))
        users = tuple(_introduce(process, workspace) for process in largest_first)
        rows.append(GpuRow(name, gpu, None if gpu.processes is None else users))
    return tuple(rows)


def read_run_gpus(workspace: Workspace, run_id: str) -> tuple[GpuRow, ...]:
    """The GPUs that a run of this workspace works on now, by the scheduler's account, else by the driver's."""
    from engine.launch.queue_state import queue_state

    rows = read_gpu_rows(workspace)
    if not rows:
        return ()
    slots = [slot for slot in queue_state(workspace).slots if slot.run_id == run_id]
    cards = {uuid for slot in slots for uuid in (slot.gpu or "").split(",")}
    name = f"run {workspace.run(run_id).name()} ("
    return tuple(
        row
        for row in rows
        if row.gpu.uuid in cards or any(user.own and user.who.startswith(name) for user in row.users or ())
    )


def count_hidden() -> int:
    """GPUs that there are, whatever CUDA_VISIBLE_DEVICES says."""
    from engine.launch.gpus import read_gpus

    return len(read_gpus({}))


def count_cpu_slots() -> int:
    """Slots of a machine without GPUs."""
    from engine.launch.slots import count_cores, slots_wanted

    return slots_wanted() or count_cores()


def _introduce(process: GpuProcess, workspace: Workspace | None) -> GpuUser:
    root, run = _find_run(process.pid)
    if root is not None:
        return GpuUser(process.pid, f"{run} ({root})", process.memory, workspace is not None and root == workspace.root)
    command = process.command or "a process that is not to be seen from here"
    who = f"{process.user}: {command}" if process.user else command
    return GpuUser(process.pid, who, process.memory, False)


def _find_run(pid: int) -> tuple[Path | None, str]:
    """The workspace a process works for, and what it does there: its words, or those of who started it, say so."""
    import psutil

    try:
        process = psutil.Process(pid)
        lines = [member.cmdline() for member in (process, *process.parents())]
    except psutil.Error:
        return None, ""
    for words in lines:
        for root, name in pairwise(words):
            if root.startswith("/") and (doing := _describe(Path(root), name)):
                return Path(root), doing
    return None, ""


def _describe(root: Path, name: str) -> str:
    """What a worker, or a process of a run, called ``name`` does in the workspace ``root``; empty if it is none."""
    from engine.launch.mailbox import Mailbox, Watched, parse_card, parse_order
    from store.workspace import Workspace

    workspace = Workspace(root)
    try:
        if (workspace.workers / name / "slot.json").exists():
            mailbox = Mailbox(workspace.workers / name)
            order, card = Watched(mailbox.inbox, parse_order).read(), Watched(mailbox.card, parse_card).read()
            if order is None or card is None or order.seq <= card.finished:
                return "an idle worker"
            name = order.run_id
        run = workspace.run(name)
        return f"run {run.name()}" if run.exists() else ""
    except (OdysseyError, OSError):
        return ""  # somebody else's, and not to be read
