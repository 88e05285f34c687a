"""What a run costs before it runs: parameters from the architecture, tokens that are scored, FLOPs from both.

C = 6·N per trained token, less under an adapter, and 2·N per evaluated one (Kaplan et al. 2020, section 2.1). Estimates
order the queue and feed its ETA; the store records what was really spent.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.spec.run import Architecture, EvalSet, Evaluation, Tokenizer

UNKNOWN_VOCABULARY = 50_257
"""GPT-2's: assumed for a pretrained tokenizer, which is only opened when a run starts."""
UNLIMITED_SET_TOKENS = 200_000
"""Assumed size of an evaluation set without ``max_tokens``: its text is only read when a run starts."""

BYTES_PER_TOKEN = 3.5
"""Text bytes that a token stands for."""


def count_vocabulary(tokenizer: Tokenizer) -> int:
    """Tokens of a tokenizer nobody has opened yet: the size asked for."""
    return UNKNOWN_VOCABULARY if tokenizer.model else tokenizer.vocab_size


def count_parameters(architecture: Architecture, vocabulary: int) -> int:
    """N of a decoder with tied embeddings, from its configuration alone; embeddings are counted."""
    return _COUNT[architecture.family](architecture, vocabulary)


def _count_gpt2(shape: Architecture, vocabulary: int) -> int:
    width = shape.n_embd
    return (vocabulary + shape.context) * width + shape.n_layer * (12 * width**2 + 13 * width) + 2 * width


def _count_llama(shape: Architecture, vocabulary: int) -> int:
    width = shape.n_embd
    return vocabulary * width + shape.n_layer * (4 * width**2 + 3 * width * llama_inner(width) + 2 * width) + width


def llama_inner(width: int) -> int:
    """Width of the gated MLP: 8/3 of the model's (as costly as 4 without a gate), rounded up to a multiple of 8."""
    return -(-8 * width // 3 // 8) * 8


_COUNT: dict[str, Callable[[Architecture, int], int]] = {"gpt2": _count_gpt2, "llama": _count_llama}


def count_evaluated(evaluation: Evaluation) -> int:
    """Tokens that one model state is fed to score it once on every set."""
    scheme = evaluation.scheme
    overlap = scheme.window / scheme.stride if scheme.stride else 1.0
    return round(sum(map(_count_set, evaluation.sets)) * overlap)


def _count_set(chosen: EvalSet) -> float:
    if chosen.max_bytes:
        return chosen.max_bytes / BYTES_PER_TOKEN
    return chosen.max_tokens or UNLIMITED_SET_TOKENS


def count_flops(n_params: int, n_trained: int, *, held: bool = False) -> int:
    """FLOPs of training on one token where ``n_trained`` of N parameters are trained: 4·N + 2·trained, or 6·N for all.

    2·N more where a base model's prediction is computed, too (``held``).
    """
    return (4 + 2 * held) * n_params + 2 * n_trained
