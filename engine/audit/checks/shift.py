"""How the two texts differ as a whole: scripts, lengths, size."""

from __future__ import annotations

from collections.abc import Iterator

from engine.audit.findings import Compared, Finding, percent
from engine.audit.scan import TextFacts

SCRIPTS_APART = 0.2
"""Total variation distance between the shares of scripts among letters."""
LISTED_SHARE = 0.01
SMALL_TOKENS = 10_000
LENGTHS_APART = 10
ENOUGH_DOCUMENTS = 10


def check_shift(found: Compared) -> Iterator[Finding]:
    """Scripts, document lengths, a small evaluation text, and reading that stopped early."""
    if found.setting.own:
        yield from _check_scripts(found.train, found.evaluation)
        yield from _check_lengths(found.train, found.evaluation)
    if found.tokens.n_evaluation < SMALL_TOKENS:
        yield Finding(
            "small",
            "note",
            f"the evaluation text has {found.tokens.n_evaluation:,} tokens",
            f"in {found.evaluation.documents:,} documents; rare classes and small differences are chance here",
            side="evaluation",
        )
    for side, name, reading in (
        ("train", "training", found.train_reading),
        ("evaluation", "evaluation", found.evaluation_reading),
    ):
        if reading.cut_at is not None:
            yield Finding(
                "part",
                "note",
                f"only a part of the {name} text was read",
                f"the first {reading.cut_at:,} bytes",
                "--max-bytes reads more.",
                side=side,  # type: ignore[arg-type]
            )


def _check_scripts(train: TextFacts, evaluation: TextFacts) -> Iterator[Finding]:
    shares = [_shares(text) for text in (train, evaluation)]
    names = shares[0].keys() | shares[1].keys()
    apart = sum(abs(shares[0].get(name, 0) - shares[1].get(name, 0)) for name in names) / 2
    if shares[0] and shares[1] and apart >= SCRIPTS_APART:
        yield Finding(
            "scripts",
            "caution",
            "the two texts are written in different scripts",
            f"training: {_listed(shares[0])}; evaluation: {_listed(shares[1])}",
            "Check that both are the text they should be.",
        )


def _check_lengths(train: TextFacts, evaluation: TextFacts) -> Iterator[Finding]:
    if min(train.documents, evaluation.documents) < ENOUGH_DOCUMENTS:
        return
    medians = max(train.quantiles[2], 1), max(evaluation.quantiles[2], 1)
    if max(medians) >= LENGTHS_APART * min(medians):
        yield Finding(
            "lengths",
            "note",
            f"documents are {max(medians) / min(medians):.0f}× longer in "
            f"{'training' if medians[0] > medians[1] else 'evaluation'}",
            f"medians: {medians[0]:,} and {medians[1]:,} bytes",
        )


def _shares(text: TextFacts) -> dict[str, float]:
    letters = text.characters.letters
    return {name: count / letters for name, count in text.characters.scripts.items()} if letters else {}


def _listed(shares: dict[str, float]) -> str:
    top = sorted(shares.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name.title()} {percent(share)}" for name, share in top if share >= LISTED_SHARE)
