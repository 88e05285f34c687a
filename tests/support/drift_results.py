"""A drift whose numbers are known, as the process that compares two models answers it."""

from __future__ import annotations

import numpy as np

from odyssey_tui.services.drift import FEWEST_POSITIONS


def make_result(n_types: int = 12, *, tied: bool = False, moved: bool = True) -> dict:
    """What a comparison answers: types 0 … n−1, of which the newline rises most, by its hidden states."""
    rng = np.random.default_rng(3)
    n = rng.integers(FEWEST_POSITIONS, 40, n_types)
    before = n * rng.uniform(2, 3, n_types)
    hidden_part = rng.normal(0, 0.2, n_types) * n
    output_part = rng.normal(0, 0.1, n_types) * n * moved
    hidden_part[5], output_part[5] = 40.0, 5.0 * moved
    gap = 0.5 * moved
    sums = {
        "sum_before": before,
        "sum_after": before + hidden_part + output_part,
        "sum_output": before + output_part + gap,
        "sum_hidden": before + hidden_part + gap,
    }
    drift = {name: rng.uniform(0.1, 0.4, n_types) for name in ("hidden_drift", "input_drift", "output_drift")}
    if not moved:
        drift["input_drift"] = drift["output_drift"] = np.zeros(n_types)
    elif tied:
        drift["output_drift"] = drift["input_drift"]
    cosine = {f"{name}_cosine": 1 - drift[f"{name}_drift"] / 2 for name in ("hidden", "input", "output")}
    positions = int(n.sum())
    texts = [f"·w{index}" for index in range(n_types)]
    texts[5] = "\\n"
    return {
        "model_before": "base",
        "model_after": "base/adapted",
        "files": ["a.txt", "b.txt"],
        "tokenizer_id": "bpe",
        "scheme": {"kind": "blocks", "window": 64, "stride": None, "bos": False, "precision": "fp32"},
        "device": "cpu",
        "max_tokens": 1000,
        "positions": positions,
        "predicted": positions,
        "tied": tied,
        **{f"loss_{name.removeprefix('sum_')}": float(column.sum() / positions) for name, column in sums.items()},
        "hidden_drift": 0.25,
        "hidden_cosine": 0.9,
        "input_drift": 0.1 * moved,
        "output_drift": 0.2 * moved,
        "types": {
            "token_id": list(range(n_types)),
            "text": texts,
            "token_class": ["newline" if index == 5 else "word" for index in range(n_types)],
            "n": n.tolist(),
            **{name: column.tolist() for name, column in {**sums, **drift, **cosine}.items()},
        },
    }
