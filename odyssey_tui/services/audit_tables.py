"""The tables of audits: pairs, classes, token types, findings and facts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from odyssey_tui.services.audit import GLYPHS, Audit, fact_rows
from odyssey_tui.services.figure_export import Exportable
from odyssey_tui.services.ledger import visible
from odyssey_tui.services.tables import Column


def percent(share: float) -> str:
    """``2.10 %``, and zero as zero."""
    return f"{100 * share:.2f} %" if share else "0"


def ratio(value: float) -> str:
    """Share in training over share in evaluation: ``0.52×``, ``absent``."""
    if not value:
        return "absent"
    return "only here" if math.isinf(value) else f"{value:.2f}×"


def level_text(level: str) -> str:
    """A level with its glyph: readable without colour."""
    return f"{GLYPHS[level]} {level or 'ok'}"


PAIRS = (
    Column("level", "audit", level_text),
    Column("audit", "trained on → scored"),
    Column("n_warnings", "warnings", drop=1),
    Column("newline_train", "newlines", percent),
    Column("newline_evaluation", "scored", percent),
    Column("overlap", "8-grams seen", percent, drop=2),
    Column("n_tokens_train", "tokens", ",", drop=3),
    Column("n_tokens_evaluation", "scored tokens", ",", drop=4),
)
CLASSES = (
    Column("audit", "audit"),
    Column("token_class", "class"),
    Column("train", "trained on", ","),
    Column("evaluation", "scored", ","),
    Column("train_share", "training", percent),
    Column("evaluation_share", "evaluation", percent),
    Column("ratio", "ratio", ratio),
)
TYPES = (
    Column("audit", "audit"),
    Column("text", "token", visible),
    Column("token_class", "class"),
    Column("train", "trained on", ",", drop=2),
    Column("evaluation", "scored", ",", drop=1),
    Column("train_share", "training", percent),
    Column("evaluation_share", "evaluation", percent),
    Column("excess", "nats", lambda value: f"{value:+.5f}".replace("-", "−")),
)
FACTS = (Column("audit", "audit"), Column("fact", ""), Column("train", "training"), Column("evaluation", "evaluation"))
FINDINGS = (
    Column("audit", "audit"),
    Column("level", "level"),
    Column("code", "code"),
    Column("message", "what"),
    Column("evidence", "evidence", drop=2),
    Column("share", "share f", percent),
    Column("effect", "effect", drop=3),
    Column("advice", "advice", drop=1),
)


def pair_rows(audits: Sequence[Audit]) -> Iterator[dict[str, Any]]:
    """One row an audit."""
    for audit in audits:
        newline = next((row for row in audit.classes if row.token_class == "newline"), None)
        overlap = audit.record["overlap"]
        yield {
            "level": audit.level,
            "audit": audit.name,
            "n_warnings": len(audit.warnings),
            "newline_train": newline.train_share if newline else 0.0,
            "newline_evaluation": newline.evaluation_share if newline else 0.0,
            "overlap": overlap["shingles_seen"] / overlap["shingles"] if overlap and overlap["shingles"] else None,
            "n_tokens_train": audit.text("train")["n_tokens"],
            "n_tokens_evaluation": audit.text("evaluation")["n_tokens"],
        }


def class_rows(audits: Sequence[Audit]) -> Iterator[dict[str, Any]]:
    """One row an audit and class."""
    for audit in audits:
        yield from ({"audit": audit.name, **asdict(row), "ratio": row.ratio} for row in audit.classes)


def type_rows(audit: Audit, top: int = 20) -> list[dict[str, Any]]:
    """The ``top`` types that evaluation has more of and the ``top`` that training has, by ``excess``."""
    more = [row for row in audit.types if row.excess > 0][:top]
    less = [row for row in audit.types if row.excess < 0][:top]
    return [{"audit": audit.name, **asdict(row)} for row in (*more, *less)]


def finding_rows(audits: Sequence[Audit]) -> Iterator[dict[str, Any]]:
    """One row a finding."""
    for audit in audits:
        for found in audit.findings:
            row = {"audit": audit.name, **asdict(found), "effect": found.effect}
            yield row


@dataclass(frozen=True)
class Table:
    """Columns, and the rows of audits."""

    columns: tuple[Column, ...]
    make: Callable[[Sequence[Audit]], Iterator[dict[str, Any]]]

    def rows(self, audits: Sequence[Audit]) -> list[dict[str, Any]]:
        """Its rows."""
        return list(self.make(audits))


TABLES = {
    "pairs": Table(PAIRS, pair_rows),
    "classes": Table(CLASSES, class_rows),
    "types": Table(TYPES, lambda audits: (row for audit in audits for row in type_rows(audit))),
    "findings": Table(FINDINGS, finding_rows),
    "facts": Table(FACTS, lambda audits: ({"audit": a.name, **row} for a in audits for row in fact_rows(a))),
}


def as_json(audit: Audit) -> dict[str, Any]:
    """Everything an audit knows."""
    effects = [
        {
            "effect": [{"delta": delta, "ppl_factor": factor} for delta, factor in finding.assumed],
            "measured": None
            if finding.measured is None
            else {"median": finding.measured.median, "rises": finding.measured.rises, "own": finding.measured.own},
        }
        for finding in audit.findings
    ]
    findings = [{**record, **effect} for record, effect in zip(audit.record["findings"], effects, strict=True)]
    return {"name": audit.name, **audit.record, "findings": findings}


def exportable(audit: Audit) -> Exportable:
    """One audit as files: its classes as a table, everything as JSON."""
    return Exportable("audit", columns=CLASSES, rows=list(class_rows([audit])), record=[as_json(audit)])
