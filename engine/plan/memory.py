"""How much memory a training run takes at its peak, part by part: an estimate from shapes, checked against runs.

Bytes of activations were counted from what autograd keeps of GPT-2 and Llama blocks (torch 2.13); kernels differ a
little between devices, and allocators keep more than is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.plan.shape import Shape
from engine.spec.run import Evaluation, Method, Scheme, Training

FP32, BF16 = 4, 2
HEAD_COPIES = 3
"""Chunks of logits in float32 that the head holds at once: logits, log-probabilities, residual."""
CPU_CHUNK, GPU_CHUNK = 1 << 19, 1 << 26
"""Elements of such a chunk (``engine.models.head``), at least 128 rows."""
CHUNK_ROWS = 128
PROCESS_BYTES = 450_000_000
"""A worker before it has a model: Python, torch, transformers and a tokenizer (measured 370 to 500 MB)."""
QUANTISED_BYTES = {"none": 4.0, "8bit": 1.0, "4bit": 0.56}
"""Per weight of a linear layer; four bits come with their scales (2305.14314, section 3)."""


@dataclass(frozen=True)
class Memory:
    """Peak bytes of one process, by part. Of a run with a GPU, ``host`` is in the machine's memory."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    head: int
    """Chunks of logits, and the output layer's gradient."""
    reference: int
    """A frozen copy of the base, where targets are held to its predictions."""
    trunk: int
    """What branches return to, and the copy that a checkpoint is written from."""
    process: int
    whole: int = 0
    """Of a model that is sharded: all of its weights, which stand on the device before they are."""

    @property
    def model(self) -> int:
        """What stands on the device."""
        parts = self.weights + self.gradients + self.optimizer + self.activations + self.head + self.reference
        return max(parts, self.whole)

    @property
    def host(self) -> int:
        return self.trunk + self.process

    @property
    def total(self) -> int:
        return self.model + self.host


def estimate_memory(
    shape: Shape,
    training: Training,
    evaluation: Evaluation,
    *,
    method: Method | None = None,
    budgets: int = 1,
    world: int = 1,
    gpu: bool = False,
) -> Memory:
    """The parts at their peak, in one of ``world`` processes; ``budgets`` along one trajectory."""
    method = method or Method()
    trained = shape.count_trained(method)
    shards = world if training.sharding == "full" else 1
    rest = shape.n_params - shape.linear
    weights = FP32 * rest + QUANTISED_BYTES[method.quantize] * shape.linear
    if method.name != "full":
        weights += FP32 * trained
    state = 3 * FP32 * trained  # the trained weights and AdamW's two moments
    held_to_base = any(mask.treat == "kl" for mask in training.masks) and method.name == "full"
    # A process computes its share of a step, at most a batch at a time.
    rows = min(training.batch_sequences, math.ceil(training.batch_sequences * training.accumulate / world))
    tokens = rows * training.sequence
    kept = _trained_activations(shape, training) * tokens
    scored = _widest_layer(shape) * max(evaluation.batch_tokens, evaluation.scheme.window)
    return Memory(
        weights=round(weights / shards),
        gradients=round(FP32 * trained / shards),
        optimizer=round(2 * FP32 * trained / shards),
        activations=max(kept, scored) + _cast_weights(shape, training),
        head=_head(shape, method, gpu),
        reference=FP32 * shape.n_params if held_to_base else 0,
        trunk=state * (2 if budgets > 1 else 1),
        process=PROCESS_BYTES,
        whole=round(weights) if shards > 1 else 0,
    )


def estimate_scoring(shape: Shape, evaluation: Evaluation, *, gpu: bool = False, models: int = 1) -> Memory:
    """The parts of a process that only scores a model, or ``models`` of one shape side by side."""
    tokens = max(evaluation.batch_tokens, evaluation.scheme.window)
    return Memory(
        weights=models * FP32 * shape.n_params,
        gradients=0,
        optimizer=0,
        activations=_widest_layer(shape) * tokens + _cast_weights(shape, evaluation.scheme),
        head=HEAD_COPIES * FP32 * _chunk(shape, gpu),
        reference=0,
        trunk=0,
        process=PROCESS_BYTES,
    )


def _trained_activations(shape: Shape, training: Training) -> int:
    """Bytes a token that backward needs."""
    layer = _layer(shape, training)
    if training.activation_checkpointing:
        return shape.n_layer * FP32 * shape.width + layer + _passing(shape)
    return shape.n_layer * layer + _passing(shape)


def _passing(shape: Shape) -> int:
    """Bytes a token beside the blocks' own: the last norm, and gradients on their way through one block."""
    return FP32 * (7 * shape.width + (3 if shape.gated else 2) * shape.inner)


def _layer(shape: Shape, training: Training) -> int:
    """Bytes a token of one block: norms, attention, MLP; with eager attention its matrix too."""
    width, inner, half = shape.width, shape.inner, training.precision == "bf16"
    if shape.gated:
        kept = 34 * width + 4 * BF16 * inner if half else FP32 * (10 * width + 4 * inner)
    else:
        kept = 20 * width + 2 * BF16 * inner if half else FP32 * (8 * width + 2 * inner)
    matrix = (FP32 + BF16 if half else FP32) * shape.n_head * training.sequence
    return kept + (matrix if training.attention == "eager" else 0)


def _widest_layer(shape: Shape) -> int:
    """Bytes a token while a block computes without gradients."""
    return FP32 * (3 * shape.width + (3 if shape.gated else 2) * shape.inner)


def _cast_weights(shape: Shape, computing: Training | Scheme) -> int:
    """The bfloat16 copies of the blocks' weights that autocast keeps until the step's end."""
    return BF16 * shape.linear if computing.precision == "bf16" else 0


def _head(shape: Shape, method: Method, gpu: bool) -> int:
    gradient = FP32 * shape.vocabulary * shape.width if method.name == "full" else 0
    return HEAD_COPIES * FP32 * _chunk(shape, gpu) + gradient


def _chunk(shape: Shape, gpu: bool) -> int:
    return max(GPU_CHUNK if gpu else CPU_CHUNK, CHUNK_ROWS * shape.vocabulary)
