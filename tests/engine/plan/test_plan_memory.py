"""Memory estimates against what autograd keeps and what a process really takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.head import CPU_CHUNK_ELEMENTS, DEVICE_CHUNK_ELEMENTS, MINIMUM_CHUNK_ROWS
from engine.plan.disk import Disk, needed_bytes
from engine.plan.memory import (
    CHUNK_ROWS,
    CPU_CHUNK,
    GPU_CHUNK,
    PROCESS_BYTES,
    _layer,
    estimate_memory,
    estimate_scoring,
)
from engine.plan.shape import shape_of
from engine.spec.run import Architecture, Evaluation, LossMask, Method, Scheme, Training
from engine.train.batch import PLAIN
from engine.train.causal_loss import CausalLoss

pytestmark = pytest.mark.slow

SMALL = Evaluation(sets=(), scheme=Scheme(window=64), batch_tokens=256)


def kept_bytes(architecture, training, vocabulary=300):
    """Bytes of what autograd keeps for the backward pass of one batch, weights left out."""
    model = build_model(architecture, vocabulary, seed=0).requires_grad_(True)
    model.set_attn_implementation(training.attention)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = np.random.default_rng(0).integers(0, vocabulary, (training.batch_sequences, training.sequence))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        CausalLoss(Decoder(model, plain=True), training.precision)(PLAIN.prepare(tokens))
    return sum(kept.values())


def test_chunks_of_the_output_layer_are_what_training_holds():
    assert (CPU_CHUNK, GPU_CHUNK, CHUNK_ROWS) == (CPU_CHUNK_ELEMENTS, DEVICE_CHUNK_ELEMENTS, MINIMUM_CHUNK_ROWS)


@pytest.mark.parametrize(
    ("family", "precision", "attention"),
    [("gpt2", "fp32", "sdpa"), ("gpt2", "bf16", "eager"), ("llama", "fp32", "eager"), ("llama", "bf16", "sdpa")],
)
def test_activations_of_a_block_are_what_autograd_keeps(family, precision, attention):
    torch.set_num_threads(1)
    training = Training(lr=1, sequence=129, batch_sequences=8, precision=precision, attention=attention)
    one, two = (Architecture(family=family, n_layer=layers, n_embd=64, n_head=4, context=129) for layers in (1, 2))
    kept = kept_bytes(two, training) - kept_bytes(one, training)
    shape = shape_of(one, 300)
    cast = 2 * shape.linear if precision == "bf16" else 0
    estimated = _layer(shape, training) * training.batch_sequences * 128 + cast
    assert estimated == pytest.approx(kept, rel=0.06)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("family", "layers", "width", "vocabulary", "training", "method", "trunk"),
    [
        ("gpt2", 3, 192, 4096, {"sequence": 256, "batch_sequences": 6}, {}, True),
        ("llama", 4, 320, 4096, {"sequence": 128, "batch_sequences": 2}, {"name": "lora"}, False),
    ],
    ids=["trunk", "lora"],
)
def test_a_process_takes_about_what_is_estimated(family, layers, width, vocabulary, training, method, trunk):
    case = {
        "architecture": {"family": family, "n_layer": layers, "n_embd": width, "n_head": 4, "context": 256},
        "vocabulary": vocabulary,
        "training": {"lr": 1e-3, **training},
        "method": method,
        "trunk": trunk,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.peak_memory", json.dumps(case)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout)
    memory = estimate_memory(
        shape_of(Architecture(**case["architecture"]), vocabulary),
        Training(**case["training"]),
        SMALL,
        method=Method(**method),
        budgets=2 if trunk else 1,
    )
    # Two steps write no checkpoint: the copy for it is none of what they take.
    estimated = memory.model + (memory.trunk if trunk else 0)
    assert estimated / 1.5 < measured["took"] < estimated * 1.6
    assert PROCESS_BYTES / 1.5 < measured["before"] < PROCESS_BYTES * 1.5


def estimated(training=None, **options):
    shape = shape_of(Architecture(n_layer=8, n_embd=64, n_head=2, context=64), 500)
    return estimate_memory(shape, Training(lr=1, sequence=64, **(training or {})), SMALL, **options)


def test_what_saves_memory_saves_it():
    plain = estimated()
    assert estimated({"activation_checkpointing": True}).activations < plain.activations / 1.5
    assert estimated({"sharding": "full"}, world=2).optimizer == pytest.approx(plain.optimizer / 2)
    assert estimated(world=2).optimizer == plain.optimizer
    adapter = estimated(method=Method(name="lora", rank=2))
    assert adapter.optimizer < plain.optimizer / 5
    assert estimated(method=Method(name="lora", rank=2, quantize="4bit")).weights < adapter.weights / 1.5


def test_a_process_holds_its_share_of_a_batch_and_at_first_the_whole_model():
    """Of large models: small ones are scored in batches that are wider than those they are trained in."""
    shape = shape_of(Architecture(family="llama", n_layer=32, n_embd=4096, n_head=32, context=2048), 32_000)

    def of(world, **options):
        training = Training(lr=1, sequence=1024, **{"batch_sequences": 16, "precision": "bf16", **options})
        return estimate_memory(shape, training, SMALL, world=world, gpu=True)

    alone, cast = of(1), 2 * shape.linear
    assert of(8).activations - cast == pytest.approx((alone.activations - cast) / 8)
    assert of(8, batch_sequences=4, accumulate=4).activations == of(8).activations
    assert of(2, batch_sequences=4, accumulate=4).activations == of(1, batch_sequences=4).activations
    sharded = of(64, sharding="full", activation_checkpointing=True)
    assert sharded.model == sharded.whole == 4 * shape.n_params
    assert (of(64).whole, of(1, sharding="full").whole) == (0, 0)


def test_scoring_in_bfloat16_adds_copies_of_the_weights():
    shape = shape_of(Architecture(n_layer=8, n_embd=64, n_head=2, context=64), 500)
    wide, half = (
        estimate_scoring(shape, SMALL.model_copy(update={"scheme": Scheme(window=64, precision=precision)}))
        for precision in ("fp32", "bf16")
    )
    assert half.weights == wide.weights == 4 * shape.n_params
    assert half.model - wide.model == 2 * shape.linear


def test_a_copy_of_the_base_is_counted_where_targets_are_held_to_it():
    held = {"masks": (LossMask(classes=("newline",), treat="kl"),)}
    assert estimated(held).reference == estimated().weights
    assert estimated(held, method=Method(name="lora")).reference == 0


def test_disk_holds_what_stays_and_the_checkpoints_of_runs_at_once():
    disks = [Disk(states=10, losses=1, resume=5), Disk(states=20, resume=7), Disk(texts=3, resume=6)]
    assert needed_bytes(disks, 2) == 10 + 1 + 20 + 3 + 7 + 6
