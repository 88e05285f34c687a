"""What the headers and configurations of some published models say, as the hub would tell it to a plan."""

from __future__ import annotations

from engine.plan.bases import BaseFacts


def _gpt2(n_params: int, n_layer: int, width: int, n_head: int) -> BaseFacts:
    return BaseFacts(n_params, 4 * n_params, "gpt2", 50_257, 1024, n_layer, width, None, n_head)


def _llama(n_params: int, n_layer: int, width: int, inner: int, n_head: int) -> BaseFacts:
    return BaseFacts(n_params, 2 * n_params, "llama", 32_000, 2048, n_layer, width, inner, n_head)


def _pythia(n_params: int, n_layer: int, width: int, n_head: int) -> BaseFacts:
    return BaseFacts(n_params, 2 * n_params, "gpt_neox", 50_304, 2048, n_layer, width, 4 * width, n_head)


PUBLISHED = {
    "gpt2": _gpt2(124_439_808, 12, 768, 12),
    "gpt2-large": _gpt2(774_030_080, 36, 1280, 20),
    "gpt2-xl": _gpt2(1_557_611_200, 48, 1600, 25),
    "allenai/OLMo-1B-hf": BaseFacts(1_176_764_416, 4_707_057_664, "olmo", 50_304, 2048, 16, 2048, 8192, 16),
    "huggyllama/llama-7b": _llama(6_738_415_616, 32, 4096, 11_008, 32),
    "huggyllama/llama-13b": _llama(13_015_864_320, 40, 5120, 13_824, 40),
    "EleutherAI/pythia-160m": _pythia(162_322_944, 12, 768, 12),
}
"""By hub id. Parameters as ``transformers`` counts them of the configuration."""
