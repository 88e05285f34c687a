"""The scatter as a table and as one record of everything: what is printed, exported and given to other programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.figure_export import Exportable
from odyssey_tui.services.format import count, number, signed
from odyssey_tui.services.scatter_statistics import CONTROLS
from odyssey_tui.services.scatter_views import significant
from odyssey_tui.services.similarity_figure import draw_scatter
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from engine.stats import Correlation
    from odyssey_tui.services.scatter import Model, Scatter
    from odyssey_tui.services.scatter_points import Point
    from odyssey_tui.services.scatter_statistics import Finding

PRECISE = (
    "similarity",
    "similarity_low",
    "similarity_high",
    "delta",
    "ratio",
    "delta_bits",
    "change_low",
    "change_high",
    "zero_shot_loss",
    "loss",
    "n_seeds",
    "evaluation_before",
    "evaluation_after",
    "run_id",
)
"""Columns that a table for people leaves to CSV and JSON."""


def table_columns(found: Scatter, *, everything: bool = False) -> list[Column]:
    """Columns of the points; ``everything``: in full, for CSV."""
    unit = found.unit
    digits = (lambda value: number(value, 2)) if unit.name == "ratio" else number
    columns = [
        Column("domain", "domain"),
        *([Column("model", "model")] if len(found.shown) > 1 or everything else []),
        *([Column("group", "group", drop=5)] if found.groups or everything else []),
        Column("value", "value", significant),
        Column("value_low", "low", significant, drop=2),
        Column("value_high", "high", significant, drop=2),
        Column("before", unit.before, digits, drop=1),
        Column("after", unit.after, digits, drop=1),
        Column("change", unit.change, unit.show),
        Column("train_tokens", "tokens", count, drop=6),
        Column("newline_share", "newlines", lambda share: f"{share:.1%}", drop=7),
        Column("r_without", "r without", lambda r: signed(r, 2), drop=3),
    ]
    return [*columns, *(Column(key) for key in PRECISE)] if everything else columns


def table_row(point: Point) -> dict[str, Any]:
    """A point with the interval of the measure as it is, unoriented."""
    ends = (point.similarity_low, point.similarity_high)
    negated = point.similarity != point.value
    low, high = ends if not negated or None in ends else (-ends[1], -ends[0])
    return {**asdict(point), "ratio": point.ratio, "value_low": low, "value_high": high}


def record(found: Scatter) -> dict[str, Any]:
    """Everything: points with intervals, findings, groups, influence, agreement of the measures, and the sentences."""
    return {
        "view": None if found.view is None else asdict(found.view),
        "encoder": found.encoder,
        "reference": found.reference,
        "n_samples": found.n_samples,
        "unit": found.unit.name,
        "unit_title": found.unit.title,
        "pooled": found.pooled,
        "cell": None if found.cell is None else asdict(found.cell),
        "models": [record_model(model) for model in found.shown],
        "other_models": [record_model(model) for model in found.models if model not in found.shown],
        "points": [table_row(point) for point in found.points],
        "missing": found.missing,
        "pearson": None if found.main is None else record_correlation(found.main.pearson),
        "spearman": None
        if found.main is None or found.main.spearman is None
        else record_correlation(found.main.spearman),
        "findings": [record_finding(finding) for finding in found.findings],
        "controls": dict(CONTROLS),
        "groups": [{**asdict(group), "pearson": record_correlation(group.pearson)} for group in found.groups],
        "group_origin": found.group_origin,
        "line": None if found.line is None else asdict(found.line),
        "influence": [{"domain": domain, "r": r} for domain, r in influences(found).items()],
        "agreement": [
            {"view": asdict(item.view), "pearson": record_correlation(item.pearson)} for item in found.agreement
        ],
        "sentence": found.sentence,
        "within": found.within,
        "most_influential": found.influence,
        "notes": found.notes,
        "reason": found.reason,
        "hint": found.hint,
    }


def influences(found: Scatter) -> dict[str, float | None]:
    """What r would be without each domain, the largest change first."""
    r = None if found.pearson is None else found.pearson.r
    without = {point.domain: point.r_without for point in found.points}

    def change(domain: str) -> float:
        left = without[domain]
        return 0.0 if left is None or r is None else -abs(left - r)

    return {domain: without[domain] for domain in sorted(without, key=change)}


def record_model(model: Model) -> dict[str, Any]:
    """A model by its properties, its name and how many domains it has."""
    return {"name": model.name, "n_domains": model.n_domains, **asdict(model.cell)}


def record_finding(finding: Finding) -> dict[str, Any]:
    """A finding with its sentence."""
    return {
        "key": finding.key,
        "name": finding.name,
        "sentence": finding.sentence,
        "pearson": record_correlation(finding.pearson),
        "spearman": None if finding.spearman is None else record_correlation(finding.spearman),
    }


def record_correlation(correlation: Correlation) -> dict[str, Any]:
    """A correlation with its sentence."""
    return {**asdict(correlation), "sentence": correlation.sentence}


def exportable(found: Scatter, *, grouped: bool = False) -> Exportable:
    """What the screen shows, for files."""
    view = "" if found.view is None else f"-{found.view.measure}-{found.view.embedder}"
    rows = [table_row(point) for point in found.points]
    return Exportable(
        f"similarity{view}{'-all-models' if len(found.shown) > 1 else ''}",
        draw_scatter(found, grouped=grouped),
        table_columns(found, everything=True),
        rows,
        record(found) if found.points else None,
        wide=(table_columns(found), rows),
    )
