"""Text that was read again: laws count tokens, whether they are new or repeated."""

from __future__ import annotations

import numpy as np

from engine.laws.points import Points

MOST_EPOCHS = 4.0
"""Up to here repeated text is nearly as good as new; beyond, its worth falls (Muennighoff et al., arXiv 2305.16264)."""
TEXTS = {
    "base_epochs": "the base text before adaptation",
    "target_epochs": "the domain's text",
    "replay_epochs": "the replayed text",
}
"""Epochs of a point, by what was read."""


def tell_repeated(points: Points) -> tuple[str, ...]:
    """A sentence where points, excluded ones aside, come after more than ``MOST_EPOCHS`` epochs of a text."""
    used = points.select(points.split != "excluded")
    over = np.zeros(len(used), dtype=bool)
    parts = []
    for column, text in TEXTS.items():
        epochs = getattr(used, column)
        beyond = epochs > MOST_EPOCHS
        over |= beyond
        if beyond.any():
            parts.append(f"up to {epochs[beyond].max():.3g} of {text}")
    if not parts:
        return ()
    return (
        f"{over.sum()} of {len(used)} points come after more than {MOST_EPOCHS:g} epochs ({', '.join(parts)}): the law "
        "counts text that is read again as if it were new, and beyond that it is worth less.",
    )
