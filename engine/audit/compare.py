"""An audit: two texts counted, and what the checks say, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from engine.audit.checks.classes import check_classes, check_types
from engine.audit.checks.duplicates import check_duplicates
from engine.audit.checks.encoding import check_encoding
from engine.audit.checks.lines import check_lines
from engine.audit.checks.shift import check_shift
from engine.audit.checks.tokenizer import check_tokenizer
from engine.audit.findings import Compared, Finding
from engine.audit.scan import TextFacts

CHECKS: tuple[Callable[[Compared], Iterator[Finding]], ...] = (
    check_classes,
    check_types,
    check_lines,
    check_encoding,
    check_duplicates,
    check_tokenizer,
    check_shift,
)
LEVELS = ("serious", "caution", "note")


def find(compared: Compared) -> list[Finding]:
    """What every check says, the serious first."""
    found = [finding for check in CHECKS for finding in check(compared)]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def describe(compared: Compared) -> dict[str, Any]:
    """The audit in JSON values: ``train``, ``evaluation``, ``classes``, ``types``, ``overlap``, ``findings``, ``level``
    (of the worst finding; empty without any)."""
    tokens, findings = compared.tokens, find(compared)
    return {
        "train": _describe_text(compared.train, tokens.n_train, tokens.train_bytes),
        "evaluation": _describe_text(compared.evaluation, tokens.n_evaluation, tokens.evaluation_bytes),
        "classes": [asdict(row) for row in tokens.class_rows()],
        "types": [asdict(row) for row in tokens.type_rows()],
        "overlap": asdict(compared.overlap) if compared.overlap is not None else None,
        "findings": [asdict(finding) for finding in findings],
        "level": findings[0].level if findings else "",
    }


def _describe_text(text: TextFacts, n_tokens: int, token_bytes: int) -> dict[str, Any]:
    return {
        **asdict(text),
        "n_tokens": n_tokens,
        "tokens_per_byte": n_tokens / token_bytes if token_bytes else None,
        "newlines_per_1000": text.newlines_per_1000,
        "layout": text.lines.layout(text.characters.n),
    }
