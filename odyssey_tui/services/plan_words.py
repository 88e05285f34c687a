"""What a plan takes, in sentences: for the Launch screen and for ``odyssey launch --dry-run``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from odyssey_tui.services.format import count, duration

if TYPE_CHECKING:
    from odyssey_tui.services.composition import Composition, PlannedRun


def summary(composition: Composition) -> str:
    """``22 new runs, 4 there already · 20.2M tokens (33 % saved by sharing) · 8.6T FLOPs · about 3m on 2 slots``."""
    new, there = len(composition.new), len(composition.runs) - len(composition.new)
    parts = [f"{new} new {'run' if new == 1 else 'runs'}" + (f", {there} there already" if there else "")]
    if new:
        saved = composition.sharing.saved
        by_sharing = f" ({100 * saved:.0f} % saved by sharing)" if saved > 0.005 else ""
        parts += [f"{count(composition.tokens)} tokens{by_sharing}", f"{count(composition.flops)} FLOPs"]
        slots = "one slot" if composition.slots == 1 else f"{composition.slots} slots"
        parts.append(f"about {duration(composition.seconds)} on {slots}" if composition.seconds else "not timed yet")
        parts.append(f"disk ≈ {count(composition.disk_bytes)}B")
    return " · ".join([*parts, *composition.cautions])


def details(composition: Composition, *, calibrated: bool) -> Iterator[str]:
    """What is shared, what it takes of memory and disk, and where the times come from; a line each."""
    if not composition.new:
        return
    if shared := sharing_text(composition):
        yield f"shared: {shared}"
    yield from mixture_lines(composition)
    yield f"time: {_time_text(composition, calibrated)}"
    largest = max(composition.new, key=lambda run: run.memory_bytes or 0)
    if largest.memory_bytes:
        yield f"memory ≈ {count(largest.memory_bytes)}B at most, {largest.name}: {_memory_text(largest)}"
    for options in composition.submissions:
        yield f"Slurm is asked by: sbatch {options}"
    yield f"disk ≈ {count(composition.disk_bytes)}B of {count(composition.free_bytes)}B free: {_disk_text(composition)}"


def run_line(run: PlannedRun) -> str:
    """What one run reads and holds: mixture, epochs of each corpus, memory by part."""
    parts = []
    if run.mixture is not None:
        mixture = run.mixture
        parts.append(f"{count(mixture.sequences)} sequences")
        if run.kind == "adapt":
            parts.append(f"{count(mixture.replayed)} of them replayed ({mixture.realised:.4f})")
        read = [f"{name} {'?' if epochs is None else format(epochs, '.3g')}" for name, epochs in mixture.epochs.items()]
        parts.append(f"epochs: {', '.join(read)}")
    if run.evaluated_tokens:
        parts.append(f"scores {count(run.evaluated_tokens)} tokens")
    if run.memory_bytes:
        parts.append(f"memory ≈ {_memory_text(run)}")
    return f"{run.name}: {' · '.join(parts)}" if parts else run.name


def mixture_lines(composition: Composition) -> Iterator[str]:
    """How the replay asked for comes out in whole sequences, and how often the new runs read each corpus at most."""
    realised: dict[float, list[float]] = {}
    epochs: dict[str, float] = {}
    uncounted: dict[str, None] = {}
    for run in composition.new:
        if run.mixture is None:
            continue
        if run.kind == "adapt":
            realised.setdefault(float(run.labels["replay_ratio"]), []).append(run.mixture.realised)
        for name, read in run.mixture.epochs.items():
            if read is None:
                uncounted[name] = None
            else:
                epochs[name] = max(read, epochs.get(name, 0.0))
    if any(realised):
        asked = ", ".join(f"{ratio:g} as {_range(found)}" for ratio, found in sorted(realised.items()) if ratio)
        yield f"replay in whole sequences: {asked}"
    if epochs:
        told = ", ".join(f"{name} {read:.3g}" for name, read in epochs.items())
        yield f"epochs at most: {told}"
        yield from caution_repeated(epochs)
    if uncounted:
        yield f"epochs: not known before the texts are prepared: {', '.join(uncounted)}"


def caution_repeated(epochs: Mapping[str, float]) -> Iterator[str]:
    """A line where some text, by name, is read too often to be worth what new text is."""
    from engine.laws.repetition import MOST_EPOCHS  # brings numpy, for which the first frame does not wait

    if over := [name for name, read in epochs.items() if read > MOST_EPOCHS]:
        yield (
            f"more than {MOST_EPOCHS:g} epochs of {', '.join(over)}: text read that often is worth less than new text, "
            "and laws count it alike"
        )


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.4f}", f"{max(values):.4f}"
    return low if low == high else f"{low} to {high}"


def sharing_text(composition: Composition) -> str:
    """``trajectories save 58 % of the training tokens, 5 zero-shot evaluations serve 36 adaptations``."""
    sharing = composition.sharing
    parts = []
    if sharing.saved > 0:
        parts.append(f"trajectories save {sharing.saved:.0%} of the training tokens".replace("%", " %"))
    if sharing.zero_shot_uses > sharing.zero_shots:
        noun = "evaluation is" if sharing.zero_shots == 1 else "evaluations are"
        parts.append(f"{sharing.zero_shots} zero-shot {noun} used {sharing.zero_shot_uses} times")
    return ", ".join(parts)


def _time_text(composition: Composition, calibrated: bool) -> str:
    source = "a calibration and finished runs" if calibrated else "finished runs like them"
    if composition.timed == len(composition.new):
        return f"from {source}"
    missing = len(composition.new) - composition.timed
    hint = "" if calibrated else "; --calibrate times a few steps"
    return f"{missing} of {len(composition.new)} runs are like none that finished here{hint}"


def _memory_text(run: PlannedRun) -> str:
    memory = run.estimate.memory
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "AdamW": memory.optimizer,
        "activations": memory.activations,
        "output layer": memory.head,
        "base copy": memory.reference,
        "whole before it is sharded": memory.whole,
        "in host memory" if run.gpu else "trunk and checkpoint": memory.trunk,
        **({} if run.gpu else {"process": memory.process}),
    }
    return ", ".join(f"{name} {count(size)}B" for name, size in parts.items() if size)


def _disk_text(composition: Composition) -> str:
    disks = [run.estimate.disk for run in composition.new]
    parts = {
        "states": sum(disk.states for disk in disks),
        "losses": sum(disk.losses for disk in disks),
        "texts": sum(disk.texts for disk in disks),
    }
    parts["unfinished runs"] = composition.disk_bytes - sum(parts.values())
    return ", ".join(f"{name} {count(size)}B" for name, size in parts.items() if size)
