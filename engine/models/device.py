"""Where and in which precision a model computes, what the device can do, and what to say when memory runs out."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from store.errors import OdysseyError

Precision = Literal["fp32", "bf16"]

PEAKS: tuple[tuple[str, float, float], ...] = (
    ("B200", 2250e12, 75e12),
    ("GH200", 989e12, 67e12),
    ("H200 NVL", 835e12, 60e12),
    ("H200", 989e12, 67e12),
    ("H100 NVL", 835e12, 60e12),
    ("H100 PCIe", 756e12, 51e12),
    ("H100", 989e12, 67e12),
    ("A100", 312e12, 19.5e12),
    ("A40", 149.7e12, 37.4e12),
    ("A10", 125e12, 31.2e12),
    ("L40S", 362e12, 91.6e12),
    ("L4", 121e12, 30.3e12),
    ("RTX A6000", 154.8e12, 38.7e12),
    ("RTX 3090", 71e12, 35.6e12),
    ("RTX 4090", 165.2e12, 82.6e12),
)
"""NVIDIA cards: words of their name, peak dense FLOP/s in bfloat16 (tensor cores, float32 accumulation) and in float32
(no TF32, torch's default). From NVIDIA's data sheets (whose rates "with sparsity" are twice the dense ones) and the
GA102 and AD102 white papers; the first line that fits holds."""
OTHER_CARDS = {"MIG", "Laptop", "Max", "D", "Ti"}
"""Words that make it another card, or a part of one."""
PROC = Path("/proc/self")


def compute_in(device: torch.device | str, precision: Precision) -> AbstractContextManager[None]:
    """Autocast to bfloat16 for ``bf16`` (weights stay float32), nothing for ``fp32``."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16")


def send(values: np.ndarray, device: torch.device) -> Tensor:
    """``values`` on ``device``; to a GPU from page-locked memory, so that the copy does not wait for its kernels."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def peak_flops(device: torch.device, precision: Precision) -> float | None:
    """The device's peak in FLOP/s at ``precision``; None where it is not known, as for any CPU."""
    return None if device.type != "cuda" else find_peak(torch.cuda.get_device_name(device), precision)


def find_peak(name: str, precision: Precision) -> float | None:
    """The peak of the NVIDIA card called ``name``, like ``NVIDIA H100 80GB HBM3``; None for one not in ``PEAKS``."""
    words = set(re.split(r"[\s-]+", name))
    if words & OTHER_CARDS:
        return None
    found = next((peak for card, *peak in PEAKS if words >= set(card.split())), None)
    return found and found[precision == "fp32"]


def forget_peak_memory(device: torch.device) -> None:
    """Begin to measure ``peak_memory`` anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # Where the system refuses, the high-water mark is that of the process, which may have done other work before.
    with contextlib.suppress(OSError):
        (PROC / "clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that tensors took on a GPU, or that the process had resident for a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if (PROC / "status").exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", (PROC / "status").read_text())[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def explain_out_of_memory(hint: str) -> Iterator[None]:
    """Turn memory that ran out, of an accelerator or of the host, into an error with ``hint``."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OdysseyError(f"the device ran out of memory: {str(error).splitlines()[0]}", hint) from error
    except MemoryError as error:
        raise OdysseyError(f"the machine ran out of memory{_detail(error)}", hint) from error
    except RuntimeError as error:
        # What torch raises when the host refuses memory is a plain RuntimeError.
        refused = re.search(r"can't allocate memory[^.]*", str(error))
        if refused is None:
            raise
        raise OdysseyError(f"the machine ran out of memory: {refused[0]}", hint) from error


def _detail(error: MemoryError) -> str:
    return f": {error}" if str(error) else ""
