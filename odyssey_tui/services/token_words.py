"""The finding of a token ledger in words: the same on the screen and on paper.

Every change is after minus before: a plus means that the loss rose. Nats per token, unless bits per byte are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odyssey_tui.services.format import number, perplexity, signed

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.ledger import Ledger, Masked
    from odyssey_tui.services.passages import Passage
    from odyssey_tui.services.tokens import TokenReport

COMPUTING = " […]"
SIGN = "nats/token, + is worse"


def basis_line(report: TokenReport) -> str:
    """What the numbers rest on: T, documents, scheme."""
    scheme = report.scheme or "scheme not recorded"
    return f"T {report.ledger.predicted:,} tokens, {counted(report.n_documents, 'document')} · {scheme} · {SIGN}"


def change_line(report: TokenReport, interval: MeanDifference | None) -> str:
    """ΔL with its interval, perplexities and bits per byte; ``interval`` is None while it is computed."""
    ledger = report.ledger
    parts = [
        f"ΔL {signed(ledger.delta, 4)}{bracket(interval)}",
        f"PPL {perplexity(ledger.loss_before):.2f} → {perplexity(ledger.loss_after):.2f}",
        f"bits/byte {number(report.bits_before)} → {number(report.bits_after)}",
    ]
    return " · ".join(parts)


def rise_line(ledger: Ledger) -> str:
    """How many types rise, and how concentrated the rise is."""
    if ledger.n_rising == 0:
        return "No token type rises: shares of the rise are undefined; k* = 0."
    shares = ", ".join(f"{ledger.share(k):.0%} by the top {k}" for k in (1, 10) if k <= ledger.n_rising)
    star = f"k* = {ledger.k_star:,}" if ledger.k_star else "k* = 0: ΔL is not positive"
    return f"{ledger.n_rising:,} of {counted(len(ledger.counts), 'type')} rise, {shares} · {star}"


def mask_words(ledger: Ledger, masked: Masked, interval: MeanDifference | None) -> tuple[str, str, str]:
    """Perplexities without the masked types, the change of the loss there, and how much is left out."""
    away = f"without {counted(len(masked.token_ids), 'type')}, {ledger.predicted - masked.predicted:,} tokens"
    if not masked.predicted:
        return "nothing is left", "", away
    change = f"ΔL {signed(masked.delta, 4)}{bracket(interval)}"
    return f"{masked.ppl_before:.3f} → {masked.ppl_after:.3f}", change, away


def passage_words(passage: Passage, *, typed: bool) -> str:
    """How much a passage changed, and where it is; ``typed``: only at some token types."""
    mean = f"at {counted(passage.count, 'token')}" if typed else f"{signed(passage.mean, 2)} a token"
    return f"Δ {signed(passage.delta, 2)} nats, {mean}  document {passage.document}, token {passage.place:,}"


def bracket(interval: MeanDifference | None, digits: int = 4) -> str:
    """`` [low, high]``; nothing where there is no interval, and a sign of work while it is computed."""
    if interval is None:
        return COMPUTING
    if interval.low is None or interval.high is None:
        return f" ({interval.reason})" if interval.reason else ""
    return f" [{signed(interval.low, digits)}, {signed(interval.high, digits)}]"


def counted(count: int, noun: str) -> str:
    """``1 type``, ``2 types``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
