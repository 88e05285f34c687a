"""The largest sum of tensors alive at once on the CPU, as torch's allocator reports it to the profiler."""

from __future__ import annotations

from collections.abc import Callable

import torch


def peak_mib(work: Callable[[], object]) -> float:
    """Peak MiB allocated on the CPU while ``work`` runs, above what was allocated before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / (1 << 20)
