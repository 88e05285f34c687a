"""The GPUs of this machine as the driver reports them (NVML), in the order of CUDA_VISIBLE_DEVICES.

What a driver, a card or the permissions do not tell is None; nothing here raises for want of a driver.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psutil

Value = TypeVar("Value")
_MIG = "MIG-"


@dataclass(frozen=True)
class GpuProcess:
    """A process that has memory of a GPU."""

    pid: int
    """As the driver counts; of a process in another container it names nobody here."""
    user: str | None
    command: str | None
    """Its words, joined by blanks."""
    memory: int | None
    """Bytes."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one. Memory in bytes."""

    index: int
    """Place of the card in the driver's order, that of ``nvidia-smi``."""
    uuid: str
    """For CUDA_VISIBLE_DEVICES: ``GPU-…``, of a MIG instance ``MIG-…``; its index where the driver hides that."""
    name: str
    utilisation: float | None = None
    """Share of the time in which something computed, 0 to 1."""
    memory_used: int | None = None
    memory_total: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: int | None = None
    processes: tuple[GpuProcess, ...] | None = ()
    """None where the driver does not list them."""

    @property
    def mig(self) -> bool:
        return self.uuid.startswith(_MIG)


def read_gpus(environment: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """The visible GPUs; empty without a driver or a card."""
    import pynvml

    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None and not _parts(named):
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        cards = [tuple(_read_card(pynvml, index)) for index in range(_told(pynvml, pynvml.nvmlDeviceGetCount) or 0)]
    finally:
        pynvml.nvmlShutdown()
    return choose_visible(cards, named)


def choose_visible(cards: Sequence[Sequence[Gpu]], named: str | None) -> tuple[Gpu, ...]:
    """What CUDA shows of ``cards`` (of each the card itself, or its MIG instances) under CUDA_VISIBLE_DEVICES.

    As CUDA does: the list ends at the first entry that names no device, and a repeated one hides all. An index counts
    in the driver's order and means the first instance of a card that is divided.
    """
    if named is None:
        return tuple(gpu for card in cards for gpu in card)
    chosen: list[Gpu] = []
    for part in _parts(named):
        gpu = _find(cards, part)
        if gpu is None:
            break
        if gpu in chosen:
            return ()
        chosen.append(gpu)
    return tuple(chosen)


def _parts(named: str) -> list[str]:
    """Entries up to the first that can name no device."""
    parts = [part.strip() for part in named.split(",")]
    ends = [place for place, part in enumerate(parts) if not part or part.startswith("-")]
    return parts[: ends[0]] if ends else parts


def _find(cards: Sequence[Sequence[Gpu]], part: str) -> Gpu | None:
    if part.isdecimal():
        return next(iter(cards[int(part)]), None) if int(part) < len(cards) else None
    # CUDA takes the beginning of an identifier where it is unmistakable.
    found = [gpu for card in cards for gpu in card if len(part) > len(_MIG) and gpu.uuid.startswith(part)]
    return found[0] if len(found) == 1 else None


def _read_card(nvml: Any, index: int) -> Iterator[Gpu]:
    """The card, or the MIG instances it is divided into; nothing where it has failed."""
    handle = _told(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return
    mode = _told(nvml, nvml.nvmlDeviceGetMigMode, handle)
    whole = _read(nvml, handle, index, divided=bool(mode and mode[0] == nvml.NVML_DEVICE_MIG_ENABLE))
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        yield whole
        return
    for place in range(_told(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        part = _told(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, place)
        if part is not None:
            instance = _read(nvml, part, index)
            # Heat and power are the whole card's; an instance without a name of its own could not be asked for.
            heat = {"power_w": whole.power_w, "power_limit_w": whole.power_limit_w}
            if instance.mig:
                yield replace(instance, temperature_c=whole.temperature_c, **heat)


def _read(nvml: Any, handle: Any, index: int, *, divided: bool = False) -> Gpu:
    busy = _told(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _read_memory(nvml, handle)
    power = _told(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
    limit = _told(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return Gpu(
        index=index,
        uuid=_text(_told(nvml, nvml.nvmlDeviceGetUUID, handle)) or str(index),
        name=_text(_told(nvml, nvml.nvmlDeviceGetName, handle)) or "GPU",
        utilisation=None if busy is None else busy.gpu / 100,
        memory_used=None if memory is None else memory.used,
        memory_total=None if memory is None else memory.total,
        power_w=None if power is None else power / 1000,
        power_limit_w=None if limit is None else limit / 1000,
        temperature_c=_told(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        processes=() if divided else _read_processes(nvml, handle),
    )


def _read_memory(nvml: Any, handle: Any) -> Any:
    """The second version of the call leaves out what the driver keeps for itself, hundreds of megabytes."""
    version = getattr(nvml, "nvmlMemory_v2", None)
    newer = None if version is None else _told(nvml, nvml.nvmlDeviceGetMemoryInfo, handle, version)
    return newer or _told(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)


def _read_processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...] | None:
    computing = _told(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle)
    drawing = _told(nvml, nvml.nvmlDeviceGetGraphicsRunningProcesses, handle)
    if computing is None and drawing is None:
        return None
    memory: dict[int, int | None] = {}
    for process in (*(drawing or ()), *(computing or ())):
        # One that computes and draws is in both lists with the same memory.
        memory[process.pid] = process.usedGpuMemory
    return tuple(GpuProcess(pid, *_introduce(pid), size) for pid, size in sorted(memory.items()))


def _introduce(pid: int) -> tuple[str | None, str | None]:
    """User and command of a process; None for what is hidden, or of another container."""
    user, command = None, None
    try:
        process = psutil.Process(pid)
        user = process.username()
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        pass
    return user, command


def _told(nvml: Any, call: Callable[..., Value], *arguments: Any) -> Value | None:
    """The answer, or None where there is none."""
    try:
        return call(*arguments)
    except (nvml.NVMLError, UnicodeDecodeError):
        return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
