"""The machine above the queue: a line for each slot or GPU, and what is to be known besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual.widgets import Static

from odyssey_tui.services.format import bar, cut, duration

if TYPE_CHECKING:
    from engine.launch.gpus import Gpu
    from odyssey_tui.services.board import Board, SlotLine
    from odyssey_tui.services.gpus import GpuRow, GpuUser

LEAST_CELL = 38
"""Cells of a slot where several share a line."""
MOST_COLUMNS = 3
NAME_CELLS = 44
BAR_WIDTH, POWER_WIDTH = 56, 66
"""From so many cells on a GPU's line has a bar, and its power."""
POWER_CELLS = len("1000/1000W")
IDLE_SHARE, IDLE_BYTES = 0.05, 1e9
"""A driver keeps hundreds of megabytes for itself."""


class MachineStrip(Static):
    """As many lines as it is given room; what does not fit is counted."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, board: Board, width: int, lines: int) -> None:
        """Say all of it in at most ``lines`` lines of ``width`` cells; notes come before slots."""
        told = notes(board, width)[:lines]
        told += machine_lines(board, lines - len(told), width)
        self.display = bool(told)
        self.update(Text("\n").join(told))


def notes(board: Board, width: int) -> list[Text]:
    """Who works on the queue, what is paused and why, what runs beside it."""
    head = Text().append(
        board.scheduler or ("no scheduler" if board.queue.entries else "no scheduler: a run starts one"), "dim"
    )
    if board.paused:
        head.append(f" · paused: {board.paused} (P goes on)", "bold")
    elif not board.works and len(board.queue.entries) > len(board.queue.by_commands):
        head.append(" · nothing starts (P starts one)", "bold")
    for name, number in Counter(row.gpu.name for row in board.gpus).items():
        head.append(f" · {number} × {name}" if number > 1 else f" · {name}", "dim")
    found = [head]
    for name, reason in board.queue.paused_experiments.items():
        found.append(Text(f"{name} is paused: {reason} (S goes on)", "bold"))
    if board.queue.silence:
        found.append(Text(f"Slurm does not answer, runs go on meanwhile: {board.queue.silence}", "bold"))
    if commands := board.queue.by_commands:
        names = ", ".join(entry.name for entry in commands)
        found.append(Text(f"executed by a command, not by the queue: {names}", "dim"))
    for line in found:
        line.truncate(width, overflow="ellipsis")
    return found


def slot_text(slot: SlotLine, width: int, label: int) -> Text:
    """One slot in ``width`` cells, its name in ``label``: what runs there, how far, how long still."""
    text = Text(no_wrap=True).append(f"{slot.slot.ljust(label)} ", "dim")
    if not slot.run_id:
        return text.append(cut(f"busy: {slot.busy}" if slot.busy else "idle", width - text.cell_len), "dim")
    share = f"{slot.share:4.0%}" if slot.share is not None else "    "
    left = f" {duration(slot.eta_s)} left" if slot.eta_s is not None else ""
    room = width - text.cell_len - len(share) - len(left) - 1
    bar_cells = 10 if room >= 12 + 11 else 0
    name_cells = max(1, min(NAME_CELLS, room - (bar_cells + 1 if bar_cells else 0)))
    text.append(cut(slot.name, name_cells).ljust(min(name_cells, NAME_CELLS)), "bold").append(" ")
    if bar_cells:
        text.append(bar(slot.share or 0.0, bar_cells)).append(" ")
    text.append(f"{share}{left}")
    phase_room = width - text.cell_len - 3
    return text.append(f" · {slot.phase}", "dim") if slot.phase and len(slot.phase) <= phase_room else text


def gpu_text(row: GpuRow, slots: Sequence[SlotLine], width: int, label: int) -> Text:
    """One GPU in ``width`` cells: how busy, how full, how hot, and whose work that is."""
    gpu = row.gpu
    text = Text(no_wrap=True).append(f"{row.name.ljust(label)} ", "dim")
    if width >= BAR_WIDTH:
        text.append(bar(gpu.utilisation or 0.0, 8)).append(" ")
    text.append(f"{gpu.utilisation:4.0%}" if gpu.utilisation is not None else "   –")
    text.append(f" {_gigabytes(gpu.memory_used)}/{_gigabytes(gpu.memory_total)}G")
    if width >= POWER_WIDTH:
        limit = f"/{gpu.power_limit_w:.0f}" if gpu.power_limit_w is not None else ""
        power = f"{gpu.power_w:.0f}{limit}W" if gpu.power_w is not None else "–"
        text.append(f" {power:>{POWER_CELLS}}")
    text.append(f" {gpu.temperature_c:3d}°  " if gpu.temperature_c is not None else "   –   ")
    room = width - text.cell_len
    work = "  ".join([*_runs_on(row, slots), *(_stranger(user) for user in row.users or () if not user.own)])
    return text.append(cut(work, room), "bold") if work else text.append(cut(_unnamed(gpu), room), "dim")


def _unnamed(gpu: Gpu) -> str:
    """What a GPU does on which no process is to be seen, as in a container."""
    idle = (gpu.utilisation or 0.0) < IDLE_SHARE and (gpu.memory_used or 0) < IDLE_BYTES
    return "idle" if idle else "in use; by whom is not to be seen from here"


def _runs_on(row: GpuRow, slots: Sequence[SlotLine]) -> list[str]:
    """This workspace's runs on a GPU, by the scheduler's account; by the driver's where no scheduler is there."""
    told = [slot for slot in slots if row.gpu.uuid in (slot.gpu or "").split(",") and slot.run_id]
    if told:
        return [" ".join([slot.name, *_how_far(slot)]) for slot in told]
    return [user.who.partition(" (")[0] for user in row.users or () if user.own]


def _how_far(slot: SlotLine) -> list[str]:
    share = [f"{slot.share:.0%}"] if slot.share is not None else []
    return share + ([duration(slot.eta_s)] if slot.eta_s is not None else [])


def _stranger(user: GpuUser) -> str:
    return f"{_gigabytes(user.memory).strip()}G {user.who}"


def _gigabytes(size: int | None) -> str:
    """Whole gigabytes (1e9 bytes) in as few cells as a line of eight numbers needs."""
    return " –" if size is None else f"{size / 1e9:2.0f}"


def machine_cells(board: Board) -> list[Callable[[int], Text]]:
    """Of each GPU, and of each slot without one, what draws it in so many cells."""
    label = max((len(name) for name in [row.name for row in board.gpus] + [s.slot for s in board.slots]), default=0)
    shown = {row.gpu.uuid for row in board.gpus}
    cells: list[Callable[[int], Text]] = [
        partial(lambda row, width: gpu_text(row, board.slots, width, label), row) for row in board.gpus
    ]
    apart = [slot for slot in board.slots if slot.gpu is None or not shown & set(slot.gpu.split(","))]
    return cells + [partial(lambda slot, width: slot_text(slot, width, label), slot) for slot in apart]


def arrange_cells(cells: int, lines: int, width: int) -> tuple[int, int]:
    """How many stand beside one another and how many are shown, of ``cells`` in ``lines`` of ``width``."""
    if not cells or lines <= 0:
        return 1, 0
    across = next(
        (n for n in range(1, MOST_COLUMNS + 1) if -(-cells // n) <= lines or width // (n + 1) < LEAST_CELL),
        MOST_COLUMNS,
    )
    fits = across * lines
    return across, cells if cells <= fits else across * (lines - 1)


def machine_lines(board: Board, lines: int, width: int) -> list[Text]:
    """GPUs and slots in at most ``lines`` lines; the last one counts those that do not fit."""
    cells = machine_cells(board)
    across, shown = arrange_cells(len(cells), lines, width)
    room = width // across - (across > 1)
    found = []
    for start in range(0, shown, across):
        line = Text(no_wrap=True)
        for draw in cells[start : min(start + across, shown)]:
            drawn = draw(room)
            drawn.truncate(room, overflow="ellipsis", pad=across > 1)
            line.append_text(drawn).append(" " * (across > 1))
        found.append(line)
    if lines > 0 and shown < len(cells):
        found.append(Text(f"and {len(cells) - shown} more; a taller window shows them", "dim"))
    return found
