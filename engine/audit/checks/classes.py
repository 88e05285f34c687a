"""Classes and types of tokens that are scored and were hardly trained on: what a formatting difference looks like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.audit.findings import Compared, Finding, Level, percent
from engine.audit.tokens import ClassRow
from engine.spec.run import TokenClass

CLASS_SHARE = 0.001
"""A class below this share of the evaluation tokens is passed over."""
EXPECTED = 20
"""Tokens that training would hold at evaluation's share: below, absence proves nothing."""
MUCH_RARER, RARER = 10, 4
TYPE_SHARE, TYPE_RARER = 0.0005, 20
SERIOUS_TYPES = 0.01
"""Share of the evaluation tokens that missing types make together."""
DOMAIN_CLASSES = ("word",)
"""A word that is new in the evaluation text is its topic, not its format."""
NAMES = {
    "newline": "the line end",
    "whitespace": "whitespace",
    "punctuation": "punctuation",
    "digits": "the class of digits",
    "function": "the class of function words",
    "word": "the class of words",
    "special": "the class of special tokens",
    "other": "the class of other tokens (control characters, pieces of characters)",
}


def check_classes(found: Compared) -> Iterator[Finding]:
    """Classes that are absent from training, or much rarer than in evaluation."""
    for row in missing_classes(found):
        share, ratio = row.evaluation / found.tokens.n_evaluation, _ratio(row, found)
        level = _level(row, share, ratio, own=found.setting.own)
        if level is None:
            continue
        rarity = "absent from training" if not row.train else f"{ratio:.0f}× rarer in training"
        yield Finding(
            "class-absent" if not row.train else "class-rare",
            level,
            f"{NAMES[row.token_class]} is {percent(share)} of the evaluation tokens and {rarity}",
            _evidence(row, found),
            _advice(row, found),
            share=share,
            token_class=row.token_class,
        )


def check_types(found: Compared) -> Iterator[Finding]:
    """Frequent marks, spaces, numbers and function words that training lacks, though it has others of their class."""
    tokens = found.tokens
    if not (found.setting.own and tokens.n_evaluation and tokens.n_train):
        return
    known = [*DOMAIN_CLASSES, *(row.token_class for row in missing_classes(found) if _named(row, found))]
    share = tokens.evaluation / tokens.n_evaluation
    expected = share * tokens.n_train
    chosen = (
        (share >= TYPE_SHARE)
        & (tokens.evaluation >= EXPECTED)
        & (expected >= EXPECTED)
        & (tokens.train * TYPE_RARER <= expected)
        & ~np.isin(tokens.classes.astype(str), known)
    )
    rows = tokens.rows(chosen)
    if not rows:
        return
    total = sum(row.evaluation for row in rows) / tokens.n_evaluation
    listed = ", ".join(f"`{row.text}` ({row.train:,} and {row.evaluation:,})" for row in rows[:6])
    more = f" and {len(rows) - 6} more" if len(rows) > 6 else ""
    one = len(rows) == 1
    classes = {row.token_class for row in rows}
    yield Finding(
        "types-absent",
        "serious" if total >= SERIOUS_TYPES else "caution",
        f"{len(rows)} frequent token type{'' if one else 's'} of the evaluation text "
        f"{'is' if one else 'are'} absent from training or {TYPE_RARER}× rarer: {percent(total)} of its tokens",
        f"tokens in training and in evaluation: {listed}{more}",
        "Look whether the two texts write the same thing in two ways (quotation marks, dashes, spaces), and make them "
        "one.",
        share=total,
        token_class=classes.pop() if len(classes) == 1 else None,
    )


def missing_classes(found: Compared) -> list[ClassRow]:
    """Classes with enough tokens in evaluation for their rarity in training to mean something."""
    tokens = found.tokens
    if not (tokens.n_evaluation and tokens.n_train):
        return []
    return [
        row
        for row in tokens.class_rows()
        if row.evaluation >= CLASS_SHARE * tokens.n_evaluation
        and row.evaluation / tokens.n_evaluation * tokens.n_train >= EXPECTED
        and _ratio(row, found) >= RARER
    ]


def _named(row: ClassRow, found: Compared) -> TokenClass | None:
    share = row.evaluation / found.tokens.n_evaluation
    return row.token_class if _level(row, share, _ratio(row, found), own=found.setting.own) else None


def _ratio(row: ClassRow, found: Compared) -> float:
    """How many times rarer in training; infinite where absent."""
    if not row.evaluation:
        return 0.0
    if not row.train:
        return float("inf")
    return row.evaluation / found.tokens.n_evaluation / (row.train / found.tokens.n_train)


def _level(row: ClassRow, share: float, ratio: float, *, own: bool) -> Level | None:
    if not own:  # of another text, forgetting is measured: that it is different is its point
        return "caution" if not row.train and row.token_class not in DOMAIN_CLASSES else None
    if not row.train or (ratio >= MUCH_RARER and share >= 2 * CLASS_SHARE):
        return "serious"
    return "caution" if share >= 5 * CLASS_SHARE else None


def _evidence(row: ClassRow, found: Compared) -> str:
    tokens = found.tokens
    counts = f"{row.train:,} of {tokens.n_train:,} tokens in training, {row.evaluation:,} of {tokens.n_evaluation:,} "
    if row.token_class != "newline":
        return f"{counts}in evaluation"
    ends = f"{found.train.newlines_per_1000:.2f} and {found.evaluation.newlines_per_1000:.2f}"
    return f"{counts}in evaluation; line ends in 1,000 characters: {ends}"


def _advice(row: ClassRow, found: Compared) -> str:
    setting = found.setting
    if not setting.own:
        return (
            "Its loss on this text will rise for a reason of format; replay, or a mask of that class, shows how much."
        )
    if row.token_class != "newline":
        return "Prepare both texts in the same way, or leave the class out of the comparison (a mask)."
    if setting.newlines == "strip":
        return (
            "The training text is stripped (`newlines: strip`) and the scored one keeps its line ends. Set "
            "`newlines: keep`, or score with `evaluate: {join: space}`."
        )
    return (
        "Keep the line ends of the training text, or score a text without them (`evaluate: {join: space}`); else the "
        "perplexity measures the format."
    )
