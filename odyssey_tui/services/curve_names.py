"""Names of training metrics and of the axes they are drawn over; no numbers, so that commands start fast."""

from __future__ import annotations

from collections.abc import Iterable

X_AXES = {
    "tokens": "training tokens",
    "step": "step",
    "flops": "FLOPs spent",
    "time": "seconds since the start",
}
"""Axes by name, in the order in which the key goes through them, with their titles."""
PLANNED = frozenset({"lr", "flops"})
"""Metrics that are set or counted: no noise in them to smooth."""
LABELS = {
    "loss": "training loss (nats/token)",
    "valid_loss": "loss on held-out text (nats/token)",
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_s": "tokens per second",
    "memory_bytes": "peak memory (bytes)",
    "mfu": "model FLOPs utilisation",
    "flops": "FLOPs spent",
    "divergence": "KL to the base (nats/token)",
}
TITLES = {
    "loss": "Training loss",
    "tokens_per_s": "Speed",
    "lr": "Learning rate",
    "memory_bytes": "Memory",
    "valid_loss": "Held-out loss",
    "grad_norm": "Gradient norm",
}
"""Of charts."""
PER_TOKEN = frozenset({"loss", "valid_loss", "divergence"})
"""Metrics whose unit is that of the tokenizer."""
FIRST = ("loss", "tokens_per_s", "lr", "memory_bytes", "valid_loss", "grad_norm")
"""What is looked at most comes first."""


def order_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Names of metrics as the key goes through them."""
    place = {name: index for index, name in enumerate(FIRST)}
    return tuple(sorted(names, key=lambda name: (place.get(name, len(FIRST)), name)))
