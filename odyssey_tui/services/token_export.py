"""A token ledger as plain values and as files: the same record from the command line and from the screen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.figure_export import Exportable
from odyssey_tui.services.format import perplexity
from odyssey_tui.services.ledger_columns import (
    class_records,
    curve_records,
    type_columns,
    type_records,
)

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.drift import DriftReport
    from odyssey_tui.services.ledger import Masked
    from odyssey_tui.services.passages import Passage
    from odyssey_tui.services.token_details import PositionCurve
    from odyssey_tui.services.tokens import TokenReport

ON_PAPER = 50
"""Types in a LaTeX table; CSV and JSON have all of them."""


@dataclass(frozen=True)
class Findings:
    """What is found out of a pair behind its ledger, as far as it was asked for or is known yet."""

    interval: MeanDifference | None = None
    """Of ΔL."""
    by_class: Mapping[str, MeanDifference] = field(default_factory=dict)
    masked: Masked | None = None
    masked_interval: MeanDifference | None = None
    curve: PositionCurve | None = None
    passages: Sequence[Passage] | None = None


def make_record(report: TokenReport, found: Findings, top: int | None = None) -> dict[str, Any]:
    """The pair as plain values, with its first ``top`` types: nats per token, changes after minus before."""
    ledger = report.ledger
    return {
        **asdict(report.name),
        "scheme": report.scheme,
        "predicted": ledger.predicted,
        "n_documents": report.n_documents,
        "loss_before": ledger.loss_before,
        "loss_after": ledger.loss_after,
        "delta": ledger.delta,
        "interval": asdict(found.interval) if found.interval is not None else None,
        "ppl_before": perplexity(ledger.loss_before),
        "ppl_after": perplexity(ledger.loss_after),
        "bits_per_byte_before": report.bits_before,
        "bits_per_byte_after": report.bits_after,
        "n_types": len(ledger.counts),
        "n_rising": ledger.n_rising,
        "k_star": ledger.k_star,
        "types": type_records(ledger, top, report.drift),
        "drift": record_drift(report.drift),
        "classes": class_records(ledger, found.by_class),
        "masked": record_mask(found.masked, found.masked_interval),
        "positions": record_curve(found.curve),
        "passages": None if found.passages is None else [record_passage(one) for one in found.passages],
    }


def record_curve(curve: PositionCurve | None) -> dict[str, Any] | None:
    """A curve over positions, and what those count."""
    return None if curve is None else {"unit": curve.title, "points": curve_records(curve)}


def record_passage(passage: Passage) -> dict[str, Any]:
    """A passage, token by token: text, and Δ loss in nats (None where nothing was predicted)."""
    inside = [{"text": token.text, "delta": token.delta} for token in passage.tokens if token.inside]
    return {
        "document": passage.document,
        "token": passage.place,
        "predicted": passage.count,
        "delta": passage.delta,
        "tokens": inside,
    }


def record_drift(drift: DriftReport | None) -> dict[str, Any] | None:
    """What moved, as a whole; ``odyssey drift`` has all of it."""
    if drift is None:
        return None
    names = ("run_id", "positions", "predicted", "tied", "hidden_drift", "hidden_cosine", "input_drift", "output_drift")
    return {**{name: getattr(drift, name) for name in names}, **asdict(drift.split)}


def record_mask(masked: Masked | None, interval: MeanDifference | None) -> dict[str, Any] | None:
    """What is left without the masked types."""
    if masked is None:
        return None
    ends = {"interval": asdict(interval) if interval is not None else None}
    return {**asdict(masked), "token_ids": sorted(masked.token_ids), **ends}


def describe_pair(report: TokenReport, record: Mapping[str, Any], curve: PositionCurve | None) -> Exportable:
    """What ``E`` can write of a pair: every type as CSV, the first of them as LaTeX, the record, the curve."""
    from odyssey_tui.services.token_figure import draw_change

    name = report.name
    stem = "-".join(re.sub(r"[^\w.@-]+", "-", part) for part in ("tokens", name.after, name.eval_set) if part)
    rows = type_records(report.ledger, drift=report.drift)
    figure = draw_change(curve) if curve is not None else None
    columns = type_columns(report.drift)
    return Exportable(stem, figure, columns, rows, record, wide=(columns, rows[:ON_PAPER]))
