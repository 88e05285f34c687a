"""What the points of the scatter say: correlations pooled, within groups and given controls, each with its uncertainty.

One finding a question; what cannot be answered says why. Domains are what is resampled and permuted, whatever the
number of models and seeds (:mod:`engine.clustered`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from engine.clustered import Sample, correlate, fit_line, leave_one_out
from engine.stats import Correlation, format_share
from odyssey_tui.services.scatter_points import Point

LINE_POINTS = 60
CONSTANT = 1e-12
TOKENS, NEWLINES = "tokens", "newlines"
CONTROLS: Mapping[str, str] = {
    TOKENS: "log of the train split's tokens",
    NEWLINES: "share of newlines among the scored tokens",
}
"""What can be controlled for, and what it is."""


@dataclass(frozen=True)
class Finding:
    """One question and its answer: Pearson's r, Spearman's ρ where it is asked for, and what limits the answer."""

    key: str
    """all, apart, group:NAME, model:NAME, within, given:CONTROLS."""
    name: str
    pearson: Correlation
    spearman: Correlation | None = None
    note: str = ""

    @property
    def sentence(self) -> str:
        """``r = .41 [−.02, .71], p = .36, n = 20; ρ = .38 [−.05, .70], p = .41``."""
        said = self.pearson.sentence.removeprefix("partial ")
        if self.spearman is not None and None not in (self.pearson.r, self.spearman.r):
            said += f"; {without_n(self.spearman)}"
        return f"{said} ({self.note})" if self.note else said


@dataclass(frozen=True)
class Line:
    """The regression line and its bootstrap band, similarity on the x-axis."""

    x: tuple[float, ...]
    low: tuple[float, ...]
    mid: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class GroupSummary:
    """A group of domains: how many have points, where they lie on average, and the line through them alone."""

    name: str
    n: int
    similarity: float
    change: float
    pearson: Correlation
    line: Line | None


@dataclass(frozen=True)
class Table:
    """Points as matrices [domains, models]; NaN where a model has no point."""

    domains: tuple[str, ...]
    models: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    log_tokens: np.ndarray
    newlines: np.ndarray
    groups: tuple[str | None, ...]
    change: str = "ΔL"
    """What sentences call y."""

    @property
    def n_points(self) -> int:
        """How many there are."""
        return int(np.isfinite(self.y).sum())

    def sample(self, *, rows: np.ndarray | None = None, grouped: bool = False, **options: object) -> Sample:
        """The points as a sample, all or those of some domains; ``grouped``: within groups only."""
        keep = np.ones(len(self.domains), dtype=bool) if rows is None else rows
        groups = [group for group, kept in zip(self.groups, keep, strict=True) if kept] if grouped else None
        if "controls" in options and options["controls"] is not None:
            options["controls"] = options["controls"][keep]
        return Sample(self.x[keep], self.y[keep], groups, x_name="similarity", y_name=self.change, **options)

    def alone(self, model: int) -> Sample:
        """One model's points."""
        return Sample(self.x[:, model], self.y[:, model], x_name="similarity", y_name=self.change)


def without_n(correlation: Correlation) -> str:
    """The sentence without the number of domains, where another one beside it says it."""
    return correlation.sentence.removesuffix(f", n = {correlation.n}")


def tabulate(points: Sequence[Point], models: Sequence[str], change: str = "ΔL") -> Table:
    """The points as matrices, domains in order of name; ``change`` is what sentences call y."""
    domains = tuple(sorted({point.domain for point in points}))
    row = {domain: index for index, domain in enumerate(domains)}
    column = {model: index for index, model in enumerate(models)}
    matrices = np.full((4, len(domains), len(models)), np.nan)
    groups: list[str | None] = [None] * len(domains)
    for point in points:
        at = row[point.domain], column[point.model]
        tokens = math.log(point.train_tokens) if point.train_tokens else math.nan
        newlines = math.nan if point.newline_share is None else point.newline_share
        matrices[(slice(None), *at)] = point.similarity, point.change, tokens, newlines
        groups[at[0]] = point.group
    return Table(domains, tuple(models), *matrices, tuple(groups), change)


def find_all(table: Table) -> Iterator[Finding]:
    """Every finding, the main one first."""
    several = len(table.models) > 1
    yield main_finding(table)
    if several:
        apart = correlate(table.sample(by_model=False))
        yield Finding("apart", "models not told apart", apart)
        for number, model in enumerate(table.models):
            yield Finding(f"model:{model}", model, correlate(table.alone(number)))
    grouped = list_groups(table)
    for group in grouped:
        rows = np.array([other == group for other in table.groups])
        sample = table.sample(rows=rows)
        yield Finding(f"group:{group}", f"within {group}", correlate(sample), correlate(sample, kind="spearman"))
    if grouped:
        yield within_groups(table)
    yield from given_controls(table, grouped=bool(grouped))


def main_finding(table: Table) -> Finding:
    """The correlation over all domains; of several models with a mean for each."""
    sample = table.sample()
    several = len(table.models) > 1
    note = f"{table.n_points} points of {len(table.models)} models, each with its own mean" if several else ""
    return Finding("all", "all domains", correlate(sample), correlate(sample, kind="spearman"), note)


def list_groups(table: Table) -> tuple[str, ...]:
    """The groups, where there are two or more; in order of name."""
    names = sorted({group for group in table.groups if group is not None})
    return tuple(names) if len(names) > 1 else ()


def within_groups(table: Table) -> Finding:
    """The common slope within groups: each group (of each model) has a mean of its own."""
    rows = np.array([group is not None for group in table.groups])
    sample = table.sample(rows=rows, grouped=True)
    without = int((~rows).sum())
    note = f"{without} domain{'s' * (without != 1)} without a group left out" if without else ""
    return Finding("within", "within groups", correlate(sample), correlate(sample, kind="spearman"), note)


def given_controls(table: Table, *, grouped: bool) -> Iterator[Finding]:
    """Partial correlations given train tokens, newline share, both; and all that within groups."""
    usable: dict[str, np.ndarray] = {}
    for name, values in ((TOKENS, table.log_tokens), (NEWLINES, table.newlines)):
        reason = refuse_control(values, np.isfinite(table.y))
        if reason:
            nothing = Correlation(None, None, None, None, 0, "partial", reason=f"{CONTROLS[name]} {reason}")
            yield Finding(f"given:{name}", f"given {name}", nothing)
        else:
            usable[name] = values
            yield partial(table, {name: values}, grouped=False)
    if len(usable) > 1:
        yield partial(table, usable, grouped=False)
    if grouped and usable:
        yield partial(table, usable, grouped=True)


def refuse_control(values: np.ndarray, there: np.ndarray) -> str:
    """Why values of a control are none; empty where they can be one."""
    known = values[there & np.isfinite(values)]
    if not len(known):
        return "is not recorded of any domain"
    if np.ptp(known) <= CONSTANT * max(1.0, float(np.abs(known).max())):
        return "is the same for every domain: there is nothing to control for"
    return ""


def partial(table: Table, controls: Mapping[str, np.ndarray], *, grouped: bool) -> Finding:
    """The correlation given some controls, of the domains of which all are known."""
    stacked = np.dstack(list(controls.values()))
    known = np.isfinite(stacked).all(axis=2)
    there = np.isfinite(table.y)
    lacking = [
        d for d, any_, all_ in zip(table.domains, there.any(1), (there & known).any(1), strict=True) if any_ > all_
    ]
    rows = np.array([not grouped or group is not None for group in table.groups])
    found = correlate(table.sample(rows=rows, grouped=grouped, controls=stacked))
    names = ", ".join([*(("group",) if grouped else ()), *controls])
    note = f"unknown of {', '.join(lacking[:3])}{' …' * (len(lacking) > 3)}" if lacking else ""
    return Finding(f"given:{names}", f"given {names}", found, note=note)


def summarise_groups(table: Table) -> tuple[GroupSummary, ...]:
    """Where each group lies, and the line through its points."""
    summaries = []
    for group in list_groups(table):
        rows = np.array([other == group for other in table.groups])
        x, y = table.x[rows], table.y[rows]
        there = np.isfinite(y)
        line = draw_line(table.sample(rows=rows), resamples=40)
        found = correlate(table.sample(rows=rows))
        summaries.append(
            GroupSummary(group, int(there.any(axis=1).sum()), fmean(x[there]), fmean(y[there]), found, line)
        )
    return tuple(summaries)


def draw_line(sample: Sample, resamples: int = 2000) -> Line | None:
    """The regression over the range of the points; None where there is none."""
    x = sample.points[0][sample.present]
    if not len(x):
        return None
    at = np.linspace(x.min(), x.max(), LINE_POINTS)
    band = fit_line(sample, at, resamples=resamples)
    return None if band is None else Line(tuple(at.tolist()), *(tuple(part.tolist()) for part in band))


def with_influence(points: Sequence[Point], table: Table) -> tuple[Point, ...]:
    """The points with what the correlation would be without their domain, the most similar first."""
    without = dict(zip(table.domains, leave_one_out(table.sample()), strict=True))
    told = [replace(point, r_without=without[point.domain].r) for point in points]
    order = {model: number for number, model in enumerate(table.models)}
    return tuple(sorted(told, key=lambda point: (-point.similarity, point.domain, order[point.model])))


def tell_between(groups: Sequence[GroupSummary], show: Callable[[float | None], str]) -> str:
    """``S2ORC −0.300, Wiki +0.020``: what the groups alone differ by."""
    return ", ".join(f"{group.name} {show(group.change)}" for group in groups)


def tell_influence(points: Sequence[Point], r: float | None, notable: float) -> str:
    """The domain that r hangs on most: ``without tables r = .48``; empty where none changes it by ``notable``."""
    removable = [point for point in points if point.r_without is not None]
    if r is None or not removable:
        return ""
    most = max(removable, key=lambda point: abs(point.r_without - r))
    return "" if abs(most.r_without - r) < notable else f"without {most.domain} r = {format_share(most.r_without)}"
