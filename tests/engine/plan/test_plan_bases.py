"""Existing bases described from their headers: parameters as torch counts them, and every way of not knowing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.models.build import build_model
from engine.models.count import count_parameters
from engine.plan.bases import count_tensors, describe_base
from engine.plan.expand import expand
from engine.plan.known import Known, look_up
from engine.spec.load import parse_experiment
from engine.spec.run import Architecture
from store.errors import ConfigError


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def saved(request, tmp_path_factory):
    """A model saved as transformers does, and its parameters."""
    architecture = Architecture(family=request.param, n_layer=2, n_embd=24, n_head=2, context=16)
    model = build_model(architecture, 300, seed=0)
    folder = tmp_path_factory.mktemp("saved") / request.param
    model.save_pretrained(folder)
    return folder, count_parameters(model).total


def test_a_saved_model(saved):
    folder, n_params = saved
    facts = describe_base(str(folder))
    assert facts.n_params == n_params
    assert (facts.vocabulary, facts.context, facts.n_layer, facts.width, facts.n_head) == (300, 16, 2, 24, 2)
    assert facts.weight_bytes == (folder / "model.safetensors").stat().st_size
    assert facts.unknown == ""


def test_shards(saved, tmp_path):
    from transformers import AutoModelForCausalLM

    folder, n_params = saved
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path, max_shard_size="20kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert describe_base(str(tmp_path)).n_params == n_params


def test_buffers_do_not_count_and_tied_layers_count_once():
    tensors = {
        "wte.weight": ("F32", (50, 8)),
        "h.0.attn.bias": ("F32", (1, 1, 16, 16)),
        "h.0.attn.masked_bias": ("F32", ()),
        "h.0.attn.c_attn.bias": ("F32", (24,)),
        "layers.0.attention.rotary_emb.inv_freq": ("F32", (4,)),
        "layers.0.attention.bias": ("U8", (1, 1, 16, 16)),
        "lm_head.weight": ("F32", (50, 8)),
    }
    assert count_tensors(tensors, tied=True) == 50 * 8 + 24
    assert count_tensors(tensors, tied=False) == 2 * 50 * 8 + 24


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors there"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json there"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64), "no safetensors file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "no safetensors file"),
        (lambda folder: (folder / "config.json").write_text("{"), "no valid JSON"),
    ],
    ids=["no weights", "no configuration", "garbage", "empty", "broken configuration"],
)
def test_what_cannot_be_read_is_unknown_with_its_reason(tmp_path, damage, word):
    (tmp_path / "config.json").write_text(json.dumps({"n_positions": 64}))
    save_file({"wte.weight": np.zeros((4, 2), np.float32)}, tmp_path / "model.safetensors")
    assert describe_base(str(tmp_path)).n_params == 8
    damage(tmp_path)
    facts = describe_base(str(tmp_path))
    assert facts.n_params is None
    assert word in facts.unknown


def test_a_quantised_model_hides_its_parameters(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"bits": 4}}))
    save_file({"wte.weight": np.zeros((4, 2), np.uint8)}, tmp_path / "model.safetensors")
    assert "quantised" in describe_base(str(tmp_path)).unknown


def test_offline_is_unknown_and_asked_once(monkeypatch):
    asked = []

    def refuse(*args, **kwargs):
        asked.append(args)
        raise type("OfflineModeIsEnabled", (ConnectionError,), {})("offline")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
    first, second = (describe_base("owner/no-such-model-of-ours") for _ in range(2))
    assert first == second
    assert "offline" in first.unknown
    assert len(asked) == 1


def test_asking_again_reads_no_weights(saved):
    folder, _ = saved
    describe_base(str(folder))
    started = time.perf_counter()
    for _ in range(100):
        describe_base(str(folder))
    assert time.perf_counter() - started < 0.5


TEXT = """\
name: voyage
corpora: {{law: {{source: "hf:law"}}, books: {{source: "hf:books"}}}}
base: {{model: {model}, corpora: books}}
adapt: [{{domain: law, atpp: [1, 2]}}]
adapt_training: {{lr: 5e-5, sequence: 16, batch_sequences: 4}}
"""


def test_atpp_of_an_existing_base(saved):
    folder, n_params = saved
    experiment = parse_experiment(TEXT.format(model=folder), file="x.yaml", folder=Path("/"))
    plan = expand(experiment, look_up(experiment))
    run = next(run for run in plan.runs if run.job.kind == "adapt")
    assert run.job.atpp == (1, 2)
    assert run.job.evaluation.scheme.window == 16
    sequences = round(2 * n_params / 16)
    assert plan.work[run.run_id].trained_tokens == pytest.approx(sequences * 16 * (1 + 0.1 * 0.5 / 1.1), rel=0.05)
    assert run.cost_flops == plan.work[run.run_id].flops > 6 * n_params * 2 * n_params
    assert plan.cautions == ()


def test_atpp_is_refused_only_where_the_size_cannot_be_known(tmp_path):
    experiment = parse_experiment(TEXT.format(model=tmp_path), file="x.yaml", folder=Path("/"))
    with pytest.raises(ConfigError, match=r"adapt\.0\.atpp needs the number of parameters .* no config\.json there"):
        expand(experiment, look_up(experiment))
    with pytest.raises(ConfigError, match="nobody looked it up"):
        expand(experiment, Known())


def test_lengths_beyond_the_context_are_refused(saved):
    folder, _ = saved
    for override, word in (("evaluate.window=17", "evaluate.window is 17"), ("adapt_training.sequence=32", "sequence")):
        experiment = parse_experiment(TEXT.format(model=folder), [override], file="x.yaml", folder=Path("/"))
        with pytest.raises(ConfigError, match=rf"{word}.* longer than the context .* 16"):
            expand(experiment, look_up(experiment))
