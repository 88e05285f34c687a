"""Evaluation text that was trained on, and text that repeats itself."""

from __future__ import annotations

from collections.abc import Iterator

from engine.audit.findings import Compared, Finding, Side, percent
from engine.audit.scan import CONTAINED, TextFacts

LEAKED = 0.01
"""Share of the evaluation text in documents that stand in training, from which on it is serious."""
SEEN_CAUTION, SEEN_SERIOUS = 0.1, 0.5
"""Share of the word 8-grams of the evaluation text that occur in training."""
ENOUGH_SHINGLES = 1_000
REPEATED, NEARLY_REPEATED = 0.01, 0.05


def check_duplicates(found: Compared) -> Iterator[Finding]:
    """Documents of evaluation in training, 8-grams of it in training, documents repeated within each."""
    yield from _check_leak(found)
    for side, name, text in (("train", "training", found.train), ("evaluation", "evaluation", found.evaluation)):
        yield from _check_repeats(side, name, text)  # type: ignore[arg-type]


def _check_leak(found: Compared) -> Iterator[Finding]:
    overlap = found.overlap
    if overlap is None:
        return
    if overlap.same and overlap.n_bytes:
        yield Finding(
            "same-text",
            "serious",
            "training and evaluation text are the same: 100 % duplicates",
            f"{overlap.n_bytes:,} bytes, from beginning to end",
            "Score text that was not trained on.",
        )
        return
    seen = overlap.shingles_seen / overlap.shingles if overlap.shingles else 0.0
    looked = f"{percent(seen)} of the {overlap.shingles:,} word 8-grams of the evaluation text occur in training"
    looked += f" ({overlap.compared_bytes:,} bytes looked through)"
    if overlap.contained:
        share = overlap.contained_bytes / max(overlap.n_bytes, 1)
        near = f", {overlap.contained - overlap.exact:,} more by at least {CONTAINED:.0%} of their word 8-grams"
        yield Finding(
            "leak",
            "serious" if share >= LEAKED else "caution",
            f"{overlap.contained:,} of {overlap.documents:,} evaluation documents ({percent(share)} of its bytes) "
            "stand in the training text",
            f"{overlap.exact:,} word for word{near}; {looked}",
            "Remove them from training; group what belongs together (`group_field`), so that no group is cut by the "
            "split.",
        )
    if overlap.shingles >= ENOUGH_SHINGLES and seen >= SEEN_CAUTION:
        yield Finding(
            "contamination",
            "serious" if seen >= SEEN_SERIOUS else "caution",
            f"{percent(seen)} of the evaluation text's word 8-grams occur in training",
            f"{overlap.shingles_seen:,} of {overlap.shingles:,} ({overlap.compared_bytes:,} bytes looked through)",
            "Formulas that all documents share are harmless; passages that are copied make the perplexity too low.",
        )


def _check_repeats(side: Side, name: str, text: TextFacts) -> Iterator[Finding]:
    found = text.repeats
    exact = found.exact / text.documents if text.documents else 0.0
    near = found.near / found.compared if found.compared else 0.0
    if exact >= REPEATED or near >= NEARLY_REPEATED:
        yield Finding(
            "repeats",
            "caution",
            f"documents repeat each other in {name}",
            f"word for word: {found.exact:,} of {text.documents:,} documents; nearly: {found.near:,} of "
            f"{found.compared:,}",
            "Remove repeated documents: they count again and again."
            + (" Corpora of an experiment lose the exact ones when they are read." if found.exact else ""),
            side=side,
        )
