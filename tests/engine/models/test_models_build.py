"""Models built from a configuration."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.models.build import build_model
from engine.models.count import count_parameters
from engine.plan import cost
from engine.spec.run import Architecture
from store.errors import ConfigError


def _shape(**changes: Any) -> Architecture:
    return Architecture(**{"family": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2, "context": 16, **changes})


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_parameters_are_those_the_plan_counts(family: str) -> None:
    architecture = _shape(family=family)
    counts = count_parameters(build_model(architecture, 300, seed=0))
    assert counts.total == cost.count_parameters(architecture, 300)
    positions = 16 * 32 if family == "gpt2" else 0
    assert counts.non_embedding == counts.total - 300 * 32 - positions
    assert counts.trained == counts.total


def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, same, other = (build_model(_shape(), 64, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="n_embd 32 is not a multiple of n_head 5"):
        build_model(_shape(n_head=5), 64, seed=0)
