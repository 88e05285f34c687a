"""The mechanism behind a token ledger: what moved between two states, by token type, and which of it changed the loss.

ℓ(h, W) is the loss of a position by the hidden state h under the output layer W, before (0) and after (1) adaptation.
Of a type's contribution c_v (Σ over its positions, divided by all positions T)

    from the hidden states  ½ [ℓ(h1,W1) − ℓ(h0,W1)] + ½ [ℓ(h1,W0) − ℓ(h0,W0)]
    from the output layer   ½ [ℓ(h0,W1) − ℓ(h0,W0)] + ½ [ℓ(h1,W1) − ℓ(h1,W0)]

the mean of the two orders in which the changes can be made (their Shapley values); the two add up to c_v exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from engine.stats import Correlation, spearman
from odyssey_tui.services.format import signed
from odyssey_tui.services.token_text import visible

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.drift import DriftRow
    from store.workspace import Workspace

Value = TypeVar("Value", float, np.ndarray)
FEWEST_POSITIONS = 10
"""A type with fewer positions says little of its mean, and is left out of correlations."""
MOST_TYPES = 500
"""Correlations are over this many types at most, those with most positions: resampling all of 50,000 takes minutes."""
RESAMPLES = 1000
DRIFTS = {
    "hidden_drift": "the drift of the hidden states that predict it",
    "input_drift": "the drift of its input embedding",
    "output_drift": "the drift of its output embedding",
}
LOSSES = ("before", "after", "output", "hidden")
MOVES = ("hidden_drift", "hidden_cosine", "input_drift", "input_cosine", "output_drift", "output_cosine")
SMALL = 5e-5
"""Nats that four decimals show as nothing."""


@dataclass(frozen=True)
class TypeDrift:
    """One token type. Contributions are in nats per position of all types, drifts are ‖after − before‖ / ‖before‖;
    NaN where not defined."""

    rank: int
    token_id: int
    text: str
    token_class: str
    count: int
    contribution: float
    """c_v = ``from_hidden`` + ``from_output``."""
    from_hidden: float
    from_output: float
    order_gap: float
    """By how much either part differs between the two orders of the changes."""
    hidden_drift: float
    hidden_cosine: float
    input_drift: float
    input_cosine: float
    output_drift: float
    output_cosine: float
    loss_before: float
    """Mean ℓ(h0, W0) of its positions."""
    loss_after: float


@dataclass(frozen=True)
class ClassDrift:
    """One class of tokens; contributions are sums over its types, ``hidden_drift`` the mean over its positions."""

    token_class: str
    n_types: int
    count: int
    contribution: float
    from_hidden: float
    from_output: float
    hidden_drift: float


@dataclass(frozen=True)
class Split:
    """A change of the loss and the two parts that add up to it."""

    change: float
    from_hidden: float
    from_output: float
    order_gap: float


def split_change(before: Value, after: Value, output: Value, hidden: Value) -> tuple[Value, Value, Value, Value]:
    """The fields of a ``Split`` from ℓ(h0,W0), ℓ(h1,W1), ℓ(h0,W1) and ℓ(h1,W0)."""
    first, last = output - before, after - hidden
    from_output = (first + last) / 2
    return after - before, after - before - from_output, from_output, abs(first - last)


@dataclass(frozen=True, eq=False)
class DriftReport:
    """A drift: what was compared on which text, means over all positions, and columns [types], the largest rise first.

    ``columns`` are those of the store: token_id, text, token_class, n, sums of losses, drifts and cosines.
    """

    model_before: str
    model_after: str
    text: str
    scheme: Mapping[str, Any]
    max_tokens: int
    positions: int
    predicted: int
    tied: bool
    split: Split
    loss_before: float
    loss_after: float
    hidden_drift: float
    hidden_cosine: float
    input_drift: float
    output_drift: float
    columns: Mapping[str, np.ndarray]
    run_id: str | None = None

    @cached_property
    def _parts(self) -> tuple[np.ndarray, ...]:
        return split_change(*(self.columns[f"sum_{name}"] / self.positions for name in LOSSES))

    @cached_property
    def _places(self) -> Mapping[int, int]:
        return {token: index for index, token in enumerate(self.columns["token_id"].tolist())}

    def row(self, index: int) -> TypeDrift:
        """The type at a place of the table."""
        columns, count = self.columns, int(self.columns["n"][index])
        return TypeDrift(
            index + 1,
            int(columns["token_id"][index]),
            str(columns["text"][index]),
            str(columns["token_class"][index]),
            count,
            *(float(part[index]) for part in self._parts),
            *(float(columns[name][index]) for name in MOVES),
            float(columns["sum_before"][index]) / count,
            float(columns["sum_after"][index]) / count,
        )

    def rows(self, top: int | None = None) -> list[TypeDrift]:
        """The first ``top`` types by contribution (all without)."""
        n_types = len(self.columns["n"])
        return [self.row(index) for index in range(n_types if top is None else min(top, n_types))]

    def of_type(self, token_id: int) -> TypeDrift | None:
        """A type; None where it is no target at the positions that were looked at."""
        index = self._places.get(token_id)
        return None if index is None else self.row(index)

    def class_rows(self) -> list[ClassDrift]:
        """The classes that occur, the largest rise first; their contributions sum to ΔL too."""
        columns = self.columns
        found = []
        for name in dict.fromkeys(columns["token_class"].tolist()):
            of = columns["token_class"] == name
            count = int(columns["n"][of].sum())
            change, from_hidden, from_output, _ = split_change(
                *(float(columns[f"sum_{part}"][of].sum()) / self.positions for part in LOSSES)
            )
            drift = float(columns["hidden_drift"][of] @ columns["n"][of]) / count
            found.append(ClassDrift(name, int(of.sum()), count, change, from_hidden, from_output, drift))
        return sorted(found, key=lambda row: -row.contribution)

    @cached_property
    def correlations(self) -> dict[str, Correlation]:
        """Spearman's ρ of c_v with each drift over the types that have enough positions; one embedding where tied."""
        names = [name for name in DRIFTS if not (self.tied and name == "output_drift")]
        return {name: self._correlate(name) for name in names}

    def _correlate(self, name: str) -> Correlation:
        columns = self.columns
        usable = np.flatnonzero((columns["n"] >= FEWEST_POSITIONS) & np.isfinite(columns[name]))
        chosen = usable[np.argsort(-columns["n"][usable], kind="stable")][:MOST_TYPES]
        contribution = (columns["sum_after"] - columns["sum_before"]) / self.positions
        return spearman(columns[name][chosen], contribution[chosen], resamples=RESAMPLES)


def read_run(workspace: Workspace, run_id: str) -> DriftReport | None:
    """What a drift run measured; None while the database has nothing of it."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries.drift import drifts_of_run, read_type_drifts

    ingest(workspace)
    with lease(workspace) as con:
        found = drifts_of_run(con, run_id)
        return assemble(found[0], read_type_drifts(con, found[0].drift_id)) if found else None


def find_pair(con: Connection, before_id: str, after_id: str) -> DriftReport | None:
    """The drift between the states of two evaluations, if somebody has measured it; of several the widest."""
    from store.queries.drift import find_drift, read_type_drifts

    found = find_drift(con, before_id, after_id)
    return None if found is None else assemble(found, read_type_drifts(con, found.drift_id))


def assemble(row: DriftRow, columns: Mapping[str, np.ndarray]) -> DriftReport:
    """A stored drift."""
    return DriftReport(
        text=f"{row.eval_set} ({row.role})" if row.role != row.eval_set else row.eval_set,
        split=Split(*split_change(*(getattr(row, f"loss_{name}") for name in LOSSES))),
        columns=columns,
        **{name: getattr(row, name) for name in DriftReport.__dataclass_fields__ if hasattr(row, name)},
    )


def from_result(result: Mapping[str, Any]) -> DriftReport:
    """What a process that compared two models answered (``engine.evaluate.drift_alone``)."""
    kinds = {"token_id": np.int64, "n": np.int64, "text": object, "token_class": object}
    columns = {name: np.array(values, kinds.get(name, np.float64)) for name, values in result["types"].items()}
    order = np.lexsort((columns["token_id"], columns["sum_before"] - columns["sum_after"]))
    numbers = {name: math.nan if value is None else value for name, value in result.items()}
    return DriftReport(
        text=", ".join(result["files"]),
        split=Split(*split_change(*(result[f"loss_{name}"] for name in LOSSES))),
        columns={name: values[order] for name, values in columns.items()},
        **{name: numbers[name] for name in DriftReport.__dataclass_fields__ if name in numbers},
    )


def tell_drift(report: DriftReport) -> Iterator[str]:
    """The finding in sentences: where ΔL comes from, the worst type's too, and how far what moved."""
    part = "" if report.positions == report.predicted else f" of {report.predicted:,}, windows that lie evenly over it"
    yield (
        f"ΔL = {signed(report.split.change, 4)} nats/token over {report.positions:,} positions{part}: "
        f"{_parts(report.split)}."
    )
    rows = report.rows(1)
    if rows and rows[0].contribution > 0:
        worst = rows[0]
        split = Split(worst.contribution, worst.from_hidden, worst.from_output, worst.order_gap)
        yield f"Of the rise on {visible(worst.text)} ({signed(worst.contribution, 4)}), {_parts(split)}."
    else:
        yield "No token type rises."
    matrices = {"the input embeddings": report.input_drift, "the output embeddings": report.output_drift}
    if report.tied:
        matrices = {"the embeddings (one matrix for input and output)": report.input_drift}
    told = [f"{name} {f'by {percent(moved)}' if moved else 'not at all'}" for name, moved in matrices.items()]
    yield (
        f"Hidden states moved by {percent(report.hidden_drift)} of their length on average (cosine "
        f"{report.hidden_cosine:.3f}), {' and '.join(told)}."
    )


def drift_line(report: DriftReport) -> str:
    """The finding in one line: ``ΔL −0.7913 = hidden −0.5563 + output −0.2350 · moved Δh 50.7%, Δe 22.7%``."""
    split = report.split
    embeddings = f"Δe {percent(report.input_drift)}"
    if not report.tied:
        embeddings += f", Δw {percent(report.output_drift)}"
    part = "" if report.positions == report.predicted else f" at {report.positions:,} of {report.predicted:,} tokens"
    return (
        f"ΔL {signed(split.change, 4)}{part} = hidden {signed(split.from_hidden, 4)}, output "
        f"{signed(split.from_output, 4)} · moved Δh {percent(report.hidden_drift)}, {embeddings}"
    )


def tell_correlations(report: DriftReport) -> Sequence[str]:
    """``c_v with the drift of its input embedding: ρ = .41 [.12, .63], p = .004, n = 57``, of what moved at all."""
    titles = {**DRIFTS, "input_drift": "the drift of its embedding"} if report.tied else DRIFTS
    moved = [name for name in report.correlations if getattr(report, name)]
    return [f"c_v with {titles[name]}: {report.correlations[name].sentence}" for name in moved]


def percent(value: float) -> str:
    """A drift: ``12.3%``, ``0.42%``, ``0``; ``–`` where it is not defined."""
    if math.isnan(value):
        return "–"
    if value < 5e-5:
        return "0" if value == 0 else "<.01%"
    return f"{value:.1%}" if value >= 0.01 else f"{value:.2%}"


def _parts(split: Split) -> str:
    """``+.0410 comes from the hidden states, +.0050 from the output embeddings``, and what the order changes of it."""
    told = (
        f"{signed(split.from_hidden, 4)} comes from the hidden states, {signed(split.from_output, 4)} from the output "
        "embeddings"
    )
    if split.order_gap < 2 * SMALL:
        return told
    return f"{told} (± {split.order_gap / 2:.4f} by which change is made first)"
