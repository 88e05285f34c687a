"""Format audits: the texts that are trained on beside those that are scored, what differs, and what it would do.

The factor by which a perplexity changes when the loss of some tokens rises by Δ nats is exp(f·Δ), f their share of the
tokens that are scored. Δ is assumed, unless a state that was trained on stripped text was scored here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.asking import Hear, Started, ask

if TYPE_CHECKING:
    from engine.spec.auditing import Auditing
    from store.queries.audits import Rise

ASSUMED = (1.0, 3.0, 5.0)
"""Δ of the table of effects, in nats."""
LEVELS = ("serious", "caution", "note")
GLYPHS = {"serious": "✗", "caution": "!", "note": "·", "": "✓"}


def ppl_factor(share: float, delta: float) -> float:
    """exp(f·Δ)."""
    return math.exp(share * delta)


@dataclass(frozen=True)
class Measured:
    """How much the loss of a class rose in states that were adapted here to text without it: nats per token of the
    class, after minus before; ``own`` where all of them are of the audited two texts."""

    rises: tuple[float, ...]
    n_states: int
    own: bool

    @property
    def median(self) -> float:
        return statistics.median(self.rises)

    @property
    def text(self) -> str:
        """``+2.40 nats (median of 6 scores of 3 states, +1.80 to +3.10)``."""
        n = len(self.rises)
        states = f"{self.n_states} state{'' if self.n_states == 1 else 's'}"
        scores = f"{n} scores of {states}" if n > self.n_states else states
        spread = f"median of {scores}, {min(self.rises):+.2f} to {max(self.rises):+.2f}" if n > 1 else "one state"
        where = f"({spread}{'' if self.own else ', other texts'})"
        return f"{self.median:+.2f} nats {where}".replace("-", "−")


@dataclass(frozen=True)
class Finding:
    """One warning (``engine.audit.findings``), with what it would do to the perplexity where that has a size."""

    code: str
    level: str
    message: str
    evidence: str
    advice: str
    side: str
    share: float | None
    token_class: str | None
    measured: Measured | None = None

    @property
    def assumed(self) -> tuple[tuple[float, float], ...]:
        """Pairs of an assumed Δ and its PPL factor; none where no tokens are concerned."""
        return tuple((delta, ppl_factor(self.share, delta)) for delta in ASSUMED) if self.share else ()

    @property
    def effect(self) -> str:
        """What it would do, the assumption told from the measurement; empty where that has no size."""
        if not self.share:
            return ""
        assumed = ", ".join(f"× {factor:.3f} at Δ = {delta:g}" for delta, factor in self.assumed)
        text = f"PPL {assumed} nats (assumed)"
        if self.measured is not None:
            text += f"; × {ppl_factor(self.share, self.measured.median):.3f} at the measured {self.measured.text}"
        return text


@dataclass(frozen=True)
class ClassShare:
    """Tokens of a class in both texts."""

    token_class: str
    train: int
    evaluation: int
    train_share: float
    evaluation_share: float

    @property
    def ratio(self) -> float | None:
        """Share in training over share in evaluation; None where neither has any."""
        if not self.evaluation:
            return math.inf if self.train else None
        return self.train_share / self.evaluation_share


@dataclass(frozen=True)
class TypeShare(ClassShare):
    """Tokens of a type in both texts; ``excess`` as of ``engine.audit.tokens.TypeRow``."""

    text: str
    excess: float


@dataclass(frozen=True)
class Audit:
    """One pair of texts. ``record`` is what the engine said, with everything else that it counted."""

    record: Mapping[str, Any]
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Audit:
        """From the engine's record of one pair."""
        return cls(record, tuple(Finding(**finding) for finding in record["findings"]))

    @property
    def name(self) -> str:
        """``law → law``, or the first files."""
        if "domain" in self.record:
            newlines = " (stripped)" if self.record["newlines"] == "strip" else ""
            return f"{self.record['domain']}{newlines} → {self.record['eval_set']}"
        return f"{_listed(self.record['train_files'])} → {_listed(self.record['evaluation_files'])}"

    @property
    def key(self) -> str:
        """Tells it from the others of its text."""
        return str(self.record.get("audit_id", self.name))

    @property
    def level(self) -> str:
        """Of the worst finding; empty without any."""
        return min((finding.level for finding in self.findings), key=LEVELS.index, default="")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that are more than notes."""
        return tuple(finding for finding in self.findings if finding.level != "note")

    @property
    def own(self) -> bool:
        """Whether both texts are of one domain."""
        return bool(self.record.get("own", True))

    @cached_property
    def classes(self) -> tuple[ClassShare, ...]:
        """Every class that occurs."""
        rows = [row for row in self.record["classes"] if row["train"] or row["evaluation"]]
        return tuple(ClassShare(**row, **self._shares(row)) for row in rows)

    @cached_property
    def types(self) -> tuple[TypeShare, ...]:
        """The types that differ most, first those that evaluation has more of."""
        return tuple(TypeShare(**row, **self._shares(row)) for row in self.record["types"])

    def text(self, side: str) -> Mapping[str, Any]:
        """Facts of the ``train`` or ``evaluation`` text."""
        facts: Mapping[str, Any] = self.record[side]
        return facts

    def with_measured(self, rises: Sequence[Rise]) -> Audit:
        """With what was measured here beside what can only be assumed; of the same two texts where there is any."""
        pair = self.record.get("domain"), self.record.get("eval_set")
        own = [rise for rise in rises if (rise.domain, rise.eval_set) == pair]
        chosen, is_own = (own, True) if own else (rises, False)
        return replace(self, findings=tuple(_with_measured(finding, chosen, is_own) for finding in self.findings))

    def _shares(self, row: Mapping[str, Any]) -> dict[str, float]:
        n_train, n_evaluation = self.record["train"]["n_tokens"], self.record["evaluation"]["n_tokens"]
        return {
            "train_share": row["train"] / n_train if n_train else 0.0,
            "evaluation_share": row["evaluation"] / n_evaluation if n_evaluation else 0.0,
        }


def _with_measured(finding: Finding, rises: Sequence[Rise], own: bool) -> Finding:
    of_class = [rise for rise in rises if rise.token_class == finding.token_class]
    if finding.code not in ("class-absent", "class-rare") or not of_class:
        return finding
    deltas = tuple(rise.delta for rise in of_class)
    return replace(finding, measured=Measured(deltas, len({rise.model_id for rise in of_class}), own))


@dataclass(frozen=True)
class Warned:
    """A warning, and the audits that all have it: forms of one text share most."""

    finding: Finding
    audits: tuple[Audit, ...]

    @property
    def where(self) -> str:
        """``law → law, law (stripped) → law``."""
        return ", ".join(audit.name for audit in self.audits)


def collect_warnings(audits: Sequence[Audit]) -> tuple[Warned, ...]:
    """What several audits warn of, each once, the serious first."""
    found: dict[tuple[str, str], list[tuple[Finding, Audit]]] = {}
    for audit in audits:
        for finding in audit.warnings:
            found.setdefault((finding.code, finding.message), []).append((finding, audit))
    collected = [Warned(of[0][0], tuple(audit for _, audit in of)) for of in found.values()]
    return tuple(sorted(collected, key=lambda warned: LEVELS.index(warned.finding.level)))


def run_audit(asked: Auditing, hear: Hear, started: Started | None = None) -> list[Audit]:
    """Have a process audit; errors, ``hear`` and ``started`` as of ``asking.ask``."""
    result = ask(
        "engine.audit.standalone",
        asked.model_dump_json(),
        hear,
        noun="audit",
        killed_hint="Lower --max-bytes.",
        started=started,
    )
    return [Audit.of(record) for record in result["audits"]]


def fact_rows(audit: Audit) -> list[dict[str, Any]]:
    """Facts of both texts side by side: ``fact``, ``train``, ``evaluation``, as text."""
    sides = [audit.text(side) for side in ("train", "evaluation")]
    return [
        {"fact": name, "train": describe(sides[0]), "evaluation": describe(sides[1])}
        for name, describe in FACTS.items()
    ]


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0].rstrip('/').rpartition('/')[2]}{more}"


def _rate(value: float, of: float, digits: int = 2) -> str:
    return f"{value / of:.{digits}f}" if of else "–"


def _scripts(text: Mapping[str, Any]) -> str:
    scripts = text["characters"]["scripts"]
    letters = sum(scripts.values())
    shares = [(name.title(), count / letters) for name, count in scripts.items()] if letters else []
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares[:2] if share >= 0.005) or "–"


def _repeats(text: Mapping[str, Any]) -> str:
    found = text["repeats"]
    return f"{found['exact']:,} + {found['near']:,} near"


FACTS = {
    "tokens": lambda text: f"{text['n_tokens']:,}",
    "bytes looked through": lambda text: f"{text['n_bytes']:,}",
    "documents looked through": lambda text: f"{text['documents']:,}",
    "bytes a token": lambda text: _rate(1, text.get("tokens_per_byte") or 0),
    "tokens a word": lambda text: _rate((text.get("tokens_per_byte") or 0) * text["n_bytes"], text["words"]),
    "bytes a document (median)": lambda text: f"{text['quantiles'][2]:,}",
    "line ends in 1,000 characters": lambda text: f"{text['newlines_per_1000']:.2f}",
    "lines": lambda text: text["layout"],
    "scripts": _scripts,
    "repeated documents": _repeats,
}
