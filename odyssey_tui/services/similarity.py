"""Does adaptation hurt where a domain resembles the pretraining text? ΔL against similarity, one point per domain."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from engine.clustered import Sample, correlate, fit_line, leave_one_out
from engine.stats import Correlation, format_share
from odyssey_tui.services.scatter_cells import Cell, Wanted, choose_cell, group_by_cell
from odyssey_tui.services.scatter_views import ZERO_SHOT, Placed, Placement, View, choose_view, place_all

if TYPE_CHECKING:
    from store.queries.points import AdaptationPoint
    from store.queries.similarity import Similarity
    from store.workspace import Workspace

LINE_POINTS = 60
NOTABLE_CHANGE = 0.1
"""A domain without which r changes by less is not worth naming."""
COUPLING = "ΔL contains −L zero-shot: this correlation is partly there by construction"


@dataclass(frozen=True)
class Point:
    """One domain: its similarity and what adaptation did to the loss on it; means over ``n_seeds`` runs."""

    domain: str
    similarity: float
    """Oriented: higher = more similar, distances are negated."""
    similarity_low: float | None
    similarity_high: float | None
    value: float
    """The measure as it is."""
    delta: float
    """L adapted − L zero-shot on the domain's evaluation set, nats/token."""
    delta_low: float
    delta_high: float
    """Lowest and highest of the seeds."""
    zero_shot_loss: float
    loss: float
    n_seeds: int
    before: str
    """Evaluation id of the base state; with ``after`` the pair of one run, for the token ledger."""
    after: str
    run_id: str
    r_without: float | None
    """Pearson's r without this domain."""


@dataclass(frozen=True)
class Line:
    """The regression line and its bootstrap band, similarity on the x-axis."""

    x: tuple[float, ...]
    low: tuple[float, ...]
    mid: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Agreement:
    """The correlation through one view: whether the measures tell the same story."""

    view: View
    pearson: Correlation

    def line(self, name_width: int, *, here: bool) -> str:
        """``▸ mmd2 · model  r = .41 [−.02, .71], p = .36``; n is that of the whole scatter."""
        finding = without_n(self.pearson)
        return f"{'▸' if here else ' '} {self.view.name.ljust(name_width)}  {finding}"


@dataclass(frozen=True)
class Scatter:
    """Everything the scatter shows; ``points`` is empty and ``reason`` says why when there is nothing to show."""

    view: View | None
    encoder: str = ""
    reference: str = ""
    n_samples: int = 0
    cell: Cell | None = None
    points: tuple[Point, ...] = ()
    missing: tuple[str, ...] = ()
    """Why a domain has no point, one sentence each."""
    pearson: Correlation | None = None
    spearman: Correlation | None = None
    line: Line | None = None
    agreement: tuple[Agreement, ...] = ()
    """One per available view, in the order in which keys step through them."""
    note: str = ""
    reason: str = ""
    hint: str = ""

    @property
    def sentence(self) -> str:
        """The finding with its uncertainty, or why there is none."""
        if self.pearson is None or self.spearman is None:
            return self.reason
        if self.pearson.r is None:
            return self.pearson.sentence
        return f"{self.pearson.sentence}; {without_n(self.spearman)}"

    @property
    def by_measure(self) -> tuple[str, ...]:
        """One line per view, the one shown marked."""
        width = max((len(item.view.name) for item in self.agreement), default=0)
        return tuple(item.line(width, here=item.view == self.view) for item in self.agreement)

    @property
    def influence(self) -> str:
        """The domain that r hangs on most: ``without tables r = .48``; empty where no single one matters."""
        r = None if self.pearson is None else self.pearson.r
        removable = [point for point in self.points if point.r_without is not None]
        if r is None or not removable:
            return ""
        most = max(removable, key=lambda point: abs(point.r_without - r))
        if abs(most.r_without - r) < NOTABLE_CHANGE:
            return ""
        return f"without {most.domain} r = {format_share(most.r_without)}"


def scatter(
    workspace: Workspace,
    *,
    measure: str | None = None,
    embedder: str | None = None,
    experiment: str | None = None,
    size: str | None = None,
    ptpp: float | None = None,
    method: str | None = "full",
    replay_ratio: float | None = None,
    atpp: float | None = None,
) -> Scatter:
    """Read the workspace and place every domain that has both a similarity and an adapted state.

    Unset options are chosen: the view by preference, the cell (size, PTPP, replay, ATPP) as the one that most domains
    share. Raises DataError for a measure or embedder that no run has computed.
    """
    from store.database import lease
    from store.ingest import ingest
    from store.queries.points import adaptation_points
    from store.queries.similarity import similarities

    ingest(workspace)
    with lease(workspace) as connection:
        points = adaptation_points(connection, experiment=experiment, role="target")
        rows = similarities(connection)
    return assemble(points, rows, Wanted(size, ptpp, method, replay_ratio, atpp), measure=measure, embedder=embedder)


def assemble(
    points: Sequence[AdaptationPoint],
    rows: Sequence[Similarity],
    wanted: Wanted,
    *,
    measure: str | None = None,
    embedder: str | None = None,
) -> Scatter:
    """The scatter of these adapted states and similarities."""
    if not rows:
        return Scatter(
            None,
            reason="No similarity has been computed in this workspace.",
            hint="An experiment with a `similarity:` section computes it; the demo has one.",
        )
    if not points:
        return Scatter(
            None,
            reason="Similarities are there, but no domain has been adapted to yet.",
            hint="Points appear when the adaptation runs of an experiment are done.",
        )
    complete = [point for point in points if point.domain is not None and point.delta is not None]
    if not complete:
        return Scatter(
            None,
            reason="Domains have been adapted to, but their base model has no evaluation on the same text yet.",
            hint="Points appear when the base model's zero-shot evaluations are done.",
        )
    domains = tuple(dict.fromkeys(row.domain for row in rows))
    cells = group_by_cell(complete)
    cell = choose_cell(cells, domains, wanted)
    if cell is None:
        return Scatter(
            None,
            reason="No adapted state has the properties asked for.",
            hint="There are: " + "; ".join(sorted(c.text for c in cells)[:6]),
        )
    by_domain = group_by_domain(cells[cell])
    placements = place_all(rows, by_domain)
    chosen = choose_view(placements, measure, embedder)
    placement = placements[chosen]
    x, y = series(by_domain, placement.domains)
    return Scatter(
        chosen,
        placement.encoder,
        placement.reference,
        min((placed.n_samples for placed in placement.domains.values()), default=0),
        cell,
        make_points(by_domain, placement.domains),
        explain_missing(domains, by_domain, placement),
        correlate(sample_of(x, y)),
        correlate(sample_of(x, y), kind="spearman"),
        draw_line(x, y),
        tuple(
            Agreement(view, correlate(sample_of(*series(by_domain, place.domains))))
            for view, place in placements.items()
        ),
        COUPLING if chosen.measure == ZERO_SHOT else "",
    )


def without_n(correlation: Correlation) -> str:
    """The sentence without the number of domains, where another one beside it says it."""
    return correlation.sentence.removesuffix(f", n = {correlation.n}")


def group_by_domain(points: Iterable[AdaptationPoint]) -> dict[str, list[AdaptationPoint]]:
    """The runs of every domain (seeds), in order of domain name, all scored on the same text."""
    groups: dict[str, list[AdaptationPoint]] = defaultdict(list)
    for point in sorted(points, key=lambda p: (p.domain, p.seed or 0, p.run_id)):
        groups[point.domain].append(point)
    return {domain: on_one_text(found) for domain, found in groups.items()}


def on_one_text(points: Sequence[AdaptationPoint]) -> list[AdaptationPoint]:
    """The points of the commonest evaluation set: losses on different texts have no mean."""
    text, _ = Counter(point.eval_set_id for point in points).most_common(1)[0]
    return [point for point in points if point.eval_set_id == text]


def make_points(by_domain: Mapping[str, Sequence[AdaptationPoint]], placed: Mapping[str, Placed]) -> tuple[Point, ...]:
    """One point per domain that has both, most similar first."""
    domains = shared(by_domain, placed)
    influence = leave_one_out(Sample(*series(by_domain, placed)))
    points = []
    for domain, left_out in zip(domains, influence, strict=True):
        runs, place = by_domain[domain], placed[domain]
        low, high = place.interval
        deltas = [run.delta for run in runs]
        points.append(
            Point(
                domain=domain,
                similarity=place.oriented,
                similarity_low=low,
                similarity_high=high,
                value=place.value,
                delta=fmean(deltas),
                delta_low=min(deltas),
                delta_high=max(deltas),
                zero_shot_loss=fmean(run.zero_shot_loss for run in runs),
                loss=fmean(run.loss for run in runs),
                n_seeds=len(runs),
                before=runs[0].zero_shot_evaluation_id,
                after=runs[0].evaluation_id,
                run_id=runs[0].run_id,
                r_without=left_out.r,
            )
        )
    return tuple(sorted(points, key=lambda point: -point.similarity))


def shared(by_domain: Mapping[str, Sequence[AdaptationPoint]], placed: Mapping[str, Placed]) -> list[str]:
    """The domains that have both a ΔL and a place."""
    return [domain for domain in by_domain if domain in placed]


def series(
    by_domain: Mapping[str, Sequence[AdaptationPoint]], placed: Mapping[str, Placed]
) -> tuple[list[float], list[float]]:
    """Similarity and mean ΔL of the domains that have both."""
    domains = shared(by_domain, placed)
    return [placed[d].oriented for d in domains], [fmean(run.delta for run in by_domain[d]) for d in domains]


def sample_of(x: Sequence[float], y: Sequence[float]) -> Sample:
    """The points of one model, with the names that sentences give to their axes."""
    return Sample(x, y, x_name="similarity", y_name="ΔL")


def draw_line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """The regression over the range of the points; None where there is none."""
    if not x:
        return None
    step = (max(x) - min(x)) / (LINE_POINTS - 1)
    at = [min(x) + step * i for i in range(LINE_POINTS)]
    band = fit_line(Sample(x, y), at)
    return None if band is None else Line(tuple(at), *(tuple(part.tolist()) for part in band))


def explain_missing(
    domains: Sequence[str], by_domain: Mapping[str, Sequence[AdaptationPoint]], placement: Placement
) -> tuple[str, ...]:
    """Why domains have no point."""
    unadapted = [f"{domain}: not adapted to in this cell" for domain in domains if domain not in by_domain]
    unplaced = [f"{domain}: no {placement.view.title}" for domain in by_domain if domain not in placement.domains]
    return (*unadapted, *unplaced)
