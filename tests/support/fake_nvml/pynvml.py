"""A stand-in for NVML: put this folder on PYTHONPATH and name a JSON file in FAKE_NVML.

    {"cards": [{"uuid": "GPU-a", "name": "Fake", "utilisation": 7, "memory_used_mb": 5, "memory_total_mb": 80000,
                "power_w": 100, "power_limit_w": 700, "temperature_c": 40,
                "processes": [{"pid": 1, "memory_mb": 500}],
                "mig": [{"uuid": "MIG-b", …}],
                "failing": {"nvmlDeviceGetPowerUsage": 999}}],
     "driver": "550.54", "cuda": 12040,
     "failing": {"nvmlInit": 9}}

The file is read anew at every ``nvmlInit``. What a card does not have is not supported there; ``failing`` names calls
and the NVML error each of them raises. Without FAKE_NVML, or without its file, there is no driver.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

VARIABLE = "FAKE_NVML"

NVML_ERROR_UNINITIALIZED = 1
NVML_ERROR_INVALID_ARGUMENT = 2
NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_NO_PERMISSION = 4
NVML_ERROR_NOT_FOUND = 6
NVML_ERROR_DRIVER_NOT_LOADED = 9
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_ERROR_GPU_IS_LOST = 15
NVML_DEVICE_MIG_DISABLE, NVML_DEVICE_MIG_ENABLE = 0, 1
NVML_TEMPERATURE_GPU = 0
nvmlMemory_v2 = 0x02000028

_state: dict[str, Any] = {}


class NVMLError(Exception):
    """An NVML error; ``value`` is its code."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


def nvmlInit() -> None:
    path = os.environ.get(VARIABLE)
    if not path or not Path(path).exists():
        raise NVMLError(NVML_ERROR_LIBRARY_NOT_FOUND)
    content = json.loads(Path(path).read_text())
    _fail(content, "nvmlInit")
    _state.clear()
    _state.update(content)


def nvmlShutdown() -> None:
    if not _state:
        raise NVMLError(NVML_ERROR_UNINITIALIZED)
    _state.clear()


def nvmlSystemGetDriverVersion() -> str:
    return _value(_state, "nvmlSystemGetDriverVersion", "driver")


def nvmlSystemGetCudaDriverVersion_v2() -> int:
    return _value(_state, "nvmlSystemGetCudaDriverVersion_v2", "cuda")


def nvmlDeviceGetCount() -> int:
    _fail(_state, "nvmlDeviceGetCount")
    return len(_state["cards"])


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:
    _fail(_state["cards"][index], "nvmlDeviceGetHandleByIndex")
    return _state["cards"][index]


def nvmlDeviceGetUUID(handle: dict[str, Any]) -> str:
    return _value(handle, "nvmlDeviceGetUUID", "uuid")


def nvmlDeviceGetName(handle: dict[str, Any]) -> str:
    return _value(handle, "nvmlDeviceGetName", "name")


def nvmlDeviceGetUtilizationRates(handle: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(gpu=_value(handle, "nvmlDeviceGetUtilizationRates", "utilisation"), memory=0)


def nvmlDeviceGetMemoryInfo(handle: dict[str, Any], version: int | None = None) -> SimpleNamespace:
    if version == nvmlMemory_v2:
        _fail(handle, "nvmlDeviceGetMemoryInfo_v2")
    total = _value(handle, "nvmlDeviceGetMemoryInfo", "memory_total_mb") * 10**6
    used = _value(handle, "nvmlDeviceGetMemoryInfo", "memory_used_mb") * 10**6
    return SimpleNamespace(total=total, used=used, free=total - used)


def nvmlDeviceGetPowerUsage(handle: dict[str, Any]) -> int:
    return _value(handle, "nvmlDeviceGetPowerUsage", "power_w") * 1000


def nvmlDeviceGetEnforcedPowerLimit(handle: dict[str, Any]) -> int:
    return _value(handle, "nvmlDeviceGetEnforcedPowerLimit", "power_limit_w") * 1000


def nvmlDeviceGetTemperature(handle: dict[str, Any], sensor: int) -> int:
    return _value(handle, "nvmlDeviceGetTemperature", "temperature_c")


def nvmlDeviceGetComputeRunningProcesses(handle: dict[str, Any]) -> list[SimpleNamespace]:
    return _processes(handle, "nvmlDeviceGetComputeRunningProcesses", "processes")


def nvmlDeviceGetGraphicsRunningProcesses(handle: dict[str, Any]) -> list[SimpleNamespace]:
    return _processes(handle, "nvmlDeviceGetGraphicsRunningProcesses", "graphics")


def nvmlDeviceGetMigMode(handle: dict[str, Any]) -> list[int]:
    _fail(handle, "nvmlDeviceGetMigMode")
    if "mig" not in handle:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return [NVML_DEVICE_MIG_ENABLE, NVML_DEVICE_MIG_ENABLE]


def nvmlDeviceGetMaxMigDeviceCount(handle: dict[str, Any]) -> int:
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: dict[str, Any], index: int) -> dict[str, Any]:
    if index >= len(handle["mig"]):
        raise NVMLError(NVML_ERROR_NOT_FOUND)
    return handle["mig"][index]


def _processes(handle: dict[str, Any], call: str, key: str) -> list[SimpleNamespace]:
    _fail(handle, call)
    found = handle.get(key, [])
    sizes = [None if process["memory_mb"] is None else process["memory_mb"] * 10**6 for process in found]
    return [SimpleNamespace(pid=process["pid"], usedGpuMemory=size) for process, size in zip(found, sizes, strict=True)]


def _value(handle: dict[str, Any], call: str, key: str) -> Any:
    _fail(handle, call)
    if key not in handle:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return handle[key]


def _fail(content: dict[str, Any], call: str) -> None:
    if code := content.get("failing", {}).get(call):
        raise NVMLError(code)
