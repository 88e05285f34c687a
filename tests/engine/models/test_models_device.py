"""What a device can do, and what is said when its memory runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.models.device import explain_out_of_memory, find_peak, forget_peak_memory, peak_flops, peak_memory, send
from store.errors import OdysseyError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "bf16", "fp32"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 NVL", 835e12, 60e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA GH200 480GB", 989e12, 67e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 19.5e12),
        ("NVIDIA A10", 125e12, 31.2e12),
        ("NVIDIA GeForce RTX 3090", 71e12, 35.6e12),
        ("NVIDIA A10G", None, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None, None),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None, None),
        ("Tesla V100-SXM2-16GB", None, None),
    ],
)
def test_a_cards_peak_is_found_by_its_whole_name(name: str, bf16: float | None, fp32: float | None) -> None:
    assert (find_peak(name, "bf16"), find_peak(name, "fp32")) == (bf16, fp32)


def test_no_peak_is_claimed_for_a_cpu() -> None:
    assert peak_flops(CPU, "fp32") is None


def test_the_peak_of_memory_begins_anew() -> None:
    forget_peak_memory(CPU)
    before = peak_memory(CPU)
    # So large that it never lies in memory which was freed before.
    held = np.ones(64_000_000, dtype=np.uint8)
    assert peak_memory(CPU) - before > 0.8 * held.nbytes
    del held
    forget_peak_memory(CPU)
    assert peak_memory(CPU) - before < 0.5 * 64_000_000


def test_values_are_sent_as_they_are() -> None:
    assert send(np.arange(6).reshape(2, 3)[:, :-1], CPU).tolist() == [[0, 1], [3, 4]]


def test_a_host_that_refuses_memory_is_explained() -> None:
    refused = "the machine ran out of memory: can't allocate memory"
    with pytest.raises(OdysseyError, match=refused) as failure, explain_out_of_memory("Use less."):
        torch.empty(1 << 60, dtype=torch.uint8)
    assert failure.value.hint == "Use less."
    refused = "the machine ran out of memory: Unable to allocate"
    with pytest.raises(OdysseyError, match=refused), explain_out_of_memory("Use less."):
        np.empty(1 << 60, dtype=np.uint8)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="must match"), explain_out_of_memory("Use less."):
        torch.zeros(2) + torch.zeros(3)
