"""Compute-optimal sizes from a table of pretrained models: parabolas at equal FLOPs, power laws over budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.laws.errors import LawError
from engine.laws.isoflop import Optima, PowerLaw, find_optima, fit_power
from odyssey_tui.plots.figure import Figure
from odyssey_tui.services.point_tables import require_single, select
from store.errors import ConfigError, DataError
from store.names import suggest

if TYPE_CHECKING:
    from engine.importers.law_points import PointTable, Row
    from engine.importers.recorded import Unread

FLOPS = {"flops": ("C", "compute")}
TOKENS = ("pretrain_tokens", "adapt_tokens")
SAMPLES = 40


@dataclass(frozen=True)
class Sweep:
    """One set of runs at equal FLOPs: budgets, parabolas and the laws through their minima."""

    values: dict[str, str]
    """What sets it apart: the values of the columns that sweeps differ in; empty where the table is one sweep."""
    flops: tuple[float, ...]
    n_params: tuple[float, ...]
    loss: tuple[float, ...]
    optima: Optima
    per_token: tuple[float, ...]
    """FLOPs per parameter and token at each budget that has an optimum: 6 where C = 6·N·D."""
    tokens: PowerLaw
    """D* over budgets."""
    repeated: int
    """Budgets at which a size has several losses."""

    @property
    def name(self) -> str:
        """The same in words."""
        return " · ".join(self.values.values())

    @property
    def best_tokens(self) -> list[float]:
        """D* of each budget that has an optimum."""
        found = zip(self.optima.parabolas, self.per_token, strict=True)
        return [one.flops / (factor * one.n_params) for one, factor in found]


@dataclass(frozen=True)
class Isoflop:
    """All sweeps of a table, and the rows that are no points."""

    sweeps: tuple[Sweep, ...]
    refused: tuple[tuple[str, str], ...]
    """(name, why there are no optima)."""
    left_out: tuple[Unread, ...]
    n_filtered: int
    level: float
    draws: int


def find_sweeps(
    paths: Sequence[Path],
    *,
    mapped: Mapping[str, str],
    where: str = "",
    by: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.9,
) -> Isoflop:
    """The optima of the rows that ``where`` accepts, of each value of the columns ``by`` apart.

    FLOPs are a column, or 6·N·D. Raises ConfigError for columns that are not there, DataError where no row is left or
    FLOPs are not known, and the LawError of the first sweep where none has optima.
    """
    from engine.importers.law_points import read_points

    table = read_points(paths, mapped, FLOPS)
    rows = select(table, table.rows, where, "--where")
    if not rows:
        raise DataError(f"--where {where!r} accepts none of {len(table.rows)} rows", "Fewer conditions accept more.")
    known = sorted(table.texts | table.numeric)
    for column in by:
        if column not in known:
            raise ConfigError(f"--by {column}: there is no such column", suggest(column, known, ", ".join(known)))
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[column]) for column in by), []).append(row)
    differing = [index for index in range(len(by)) if len({key[index] for key in groups}) > 1]
    sweeps, refused = [], []
    first: LawError | None = None
    for key, members in groups.items():
        values = {by[index]: key[index] for index in differing}
        require_single(members)
        try:
            sweeps.append(fit_sweep(values, members, table, draws=draws, seed=seed, level=level))
        except LawError as error:
            first = first or error
            refused.append((" · ".join(values.values()), error.message))
    if first is not None and not sweeps:
        raise first
    left = len(table.rows) - len(rows)
    return Isoflop(tuple(sweeps), tuple(refused), table.left_out, left, level, draws)


def fit_sweep(
    values: dict[str, str], rows: Sequence[Row], table: PointTable, *, draws: int, seed: int, level: float
) -> Sweep:
    """One sweep."""
    flops, n, loss, tokens = (np.array(column) for column in zip(*(read_row(row, table) for row in rows), strict=True))
    optima = find_optima(flops, n, loss, draws=draws, seed=seed, level=level)
    factors = []
    for one in optima.parabolas:
        near = np.abs(np.log(flops / one.flops)) < 0.1
        factors.append(float(np.exp(np.mean(np.log(flops[near] / (n[near] * tokens[near]))))))
    best = np.log(optima.flops / (np.array(factors) * optima.n_params))
    return Sweep(
        values,
        *(tuple(column.tolist()) for column in (flops, n, loss)),
        optima,
        tuple(factors),
        fit_power(np.log(optima.flops), best, draws=draws, seed=seed, level=level),
        count_repeated(flops, n),
    )


def read_row(row: Row, table: PointTable) -> tuple[float, float, float, float]:
    """C, N, loss and D of a row; C = 6·N·D gives what is missing."""
    n, flops = row["n_params"], row["flops"]
    tokens = next((row[name] for name in TOKENS if row[name]), None)
    if flops is None and tokens is None:
        raise DataError(
            f"{row['place']}: no FLOPs, and no tokens to compute them from",
            "A column must be flops, tokens or ptpp; or say which: --map flops=COLUMN.",
        )
    if flops is not None and flops <= 0:
        column = table.chosen["flops"]
        raise DataError(f"{row['place']}: {column} is {flops:g}; FLOPs are positive", "Leave it out with --where.")
    flops = 6.0 * n * tokens if flops is None else flops
    return flops, n, row["loss"], flops / (6.0 * n) if tokens is None else tokens


def count_repeated(flops: np.ndarray, n_params: np.ndarray) -> int:
    """Budgets at which some size has several losses: repeats, or sweeps that should not be mixed."""
    rounded: dict[float, list[float]] = {}
    for budget, size in zip(flops, n_params, strict=True):
        rounded.setdefault(float(f"{budget:.3g}"), []).append(float(f"{size:.6g}"))
    return sum(len(set(sizes)) < len(sizes) for sizes in rounded.values())


def list_budgets(sweep: Sweep) -> list[dict[str, Any]]:
    """One row per budget, those without an optimum with the reason."""
    tokens = sweep.best_tokens
    rows = [
        {
            "sweep": sweep.name,
            **asdict(one),
            "tokens": best,
            "tokens_per_parameter": best / one.n_params,
            "note": "",
        }
        for one, best in zip(sweep.optima.parabolas, tokens, strict=True)
    ]
    rows += [{"sweep": sweep.name, "flops": budget, "note": f"has {why}"} for budget, why in sweep.optima.left_out]
    return sorted(rows, key=lambda row: row["flops"])


def list_laws(found: Isoflop) -> list[dict[str, Any]]:
    """One row per sweep: the exponents of N* and D* with their intervals."""
    return [
        {
            "sweep": sweep.name or "all rows",
            "n_budgets": len(sweep.optima.parabolas),
            "left_out": len(sweep.optima.left_out),
            "exponent": sweep.optima.size.exponent,
            "low": sweep.optima.size.low,
            "high": sweep.optima.size.high,
            "coefficient": sweep.optima.size.coefficient,
            "tokens_exponent": sweep.tokens.exponent,
            "tokens_low": sweep.tokens.low,
            "tokens_high": sweep.tokens.high,
            "tokens_coefficient": sweep.tokens.coefficient,
        }
        for sweep in found.sweeps
    ]


def tell_sweep(sweep: Sweep) -> list[str]:
    """What to know before its numbers are used."""
    sentences = [f"Left out: {scientific(budget)} FLOPs has {why}." for budget, why in sweep.optima.left_out]
    if sweep.repeated:
        budgets = "1 budget" if sweep.repeated == 1 else f"{sweep.repeated} budgets"
        sentences.append(
            f"At {budgets} a size has several losses: repeats of a run, or several sweeps in one table "
            "(--where chooses rows, --by COLUMN,… fits each apart)."
        )
    if any(abs(factor / 6.0 - 1.0) > 0.01 for factor in sweep.per_token):
        low, high = min(sweep.per_token), max(sweep.per_token)
        sentences.append(f"The table's C is {low:.3g} to {high:.3g} times N·D, not 6; D* follows the table.")
    if len(sweep.optima.parabolas) < 6:
        sentences.append(f"{len(sweep.optima.parabolas)} budgets say little about the exponents' uncertainty.")
    return sentences


def draw_sweep(sweep: Sweep) -> Figure:
    """Losses over sizes, a colour and a parabola for each budget, a diamond at its optimum."""
    figure = Figure(
        "loss over model sizes at equal FLOPs", "parameters N", "loss (nats/token)", log_x=True, note=sweep.name
    )
    flops, n, loss = (np.array(column) for column in (sweep.flops, sweep.n_params, sweep.loss))
    for index, one in enumerate(sweep.optima.parabolas):
        near = np.abs(np.log(flops / one.flops)) < 0.1
        grid = np.geomspace(one.low, one.high, SAMPLES)
        figure.line(grid, one.at(grid), color=index, style="solid")
        figure.scatter(n[near], loss[near], scientific(one.flops), color=index, marker="●")
        figure.scatter([one.n_params], [one.loss], color=index, marker="◆")
    return figure


def scientific(value: float) -> str:
    """Three digits: ``1.25e16``."""
    return f"{value:.3g}".replace("e+", "e")


def record(found: Isoflop) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "level": found.level,
        "draws": found.draws,
        "sweeps": [
            {**law, "values": sweep.values, "budgets": list_budgets(sweep), "notes": tell_sweep(sweep)}
            for law, sweep in zip(list_laws(found), found.sweeps, strict=True)
        ],
        "refused": [{"sweep": name, "reason": reason} for name, reason in found.refused],
        "left_out": [{"place": item.place, "reason": item.reason} for item in found.left_out],
        "n_filtered": found.n_filtered,
    }
