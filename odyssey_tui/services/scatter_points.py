"""Points of the scatter: one per model and domain, the mean over its seeds; and why a domain has none."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from odyssey_tui.services.domain_groups import Groups
from odyssey_tui.services.scatter_cells import Cell, is_whole
from odyssey_tui.services.scatter_units import BITS, NATS, convert

if TYPE_CHECKING:
    from odyssey_tui.services.scatter_views import Placement
    from store.queries.domain_facts import Scored
    from store.queries.points import AdaptationPoint


@dataclass(frozen=True)
class Facts:
    """What is known of domains and evaluations besides similarities and losses."""

    scored: Mapping[str, Scored] = field(default_factory=dict)
    """By evaluation."""
    run_tokens: Mapping[str, float] = field(default_factory=dict)
    """Tokens of the train split, by the run that read it."""
    corpus_tokens: Mapping[str, int] = field(default_factory=dict)
    """The same by name of a corpus, where one number is known of it."""
    groups: Groups = field(default_factory=Groups)


@dataclass(frozen=True)
class Point:
    """One domain of one model: its similarity, and what adaptation did to the loss on it on average over its runs."""

    domain: str
    model: str
    """Its name among the models shown."""
    group: str | None
    similarity: float
    """Oriented: higher = more similar, distances are negated."""
    similarity_low: float | None
    similarity_high: float | None
    value: float
    """The measure as it is."""
    change: float
    """What is drawn, in the unit asked for; ``delta`` where that is nats."""
    change_low: float
    change_high: float
    """Lowest and highest of the seeds."""
    before: float
    after: float
    """Loss (or perplexity) in the same unit."""
    delta: float
    """L adapted − L zero-shot on the domain's evaluation set, nats/token."""
    zero_shot_loss: float
    loss: float
    delta_bits: float | None
    """ΔL in bits per byte."""
    n_seeds: int
    evaluation_before: str | None
    """Evaluation id of the base state; with ``evaluation_after`` the pair of one run, for the token ledger."""
    evaluation_after: str | None
    run_id: str
    train_tokens: float | None
    """Tokens that the domain's train split holds."""
    newline_share: float | None
    """Of the tokens scored."""
    r_without: float | None = None
    """The correlation without this domain."""

    @property
    def ratio(self) -> float:
        """Perplexity after over perplexity before."""
        return math.exp(self.delta) if self.delta < 700 else math.inf

    @property
    def key(self) -> str:
        """Names the point among all that are shown."""
        return f"{self.domain}\n{self.model}"


@dataclass(frozen=True)
class Runs:
    """The runs of one cell by domain, each domain's on one text."""

    by_domain: Mapping[str, Sequence[AdaptationPoint]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why runs of a domain were left out."""


def gather_runs(points: Iterable[AdaptationPoint]) -> Runs:
    """The runs of every domain (seeds) in order of domain, with finite losses, all scored on the same text."""
    groups: dict[str, list[AdaptationPoint]] = defaultdict(list)
    for point in sorted(points, key=lambda p: (p.domain, p.seed or 0, p.run_id)):
        groups[point.domain].append(point)
    kept: dict[str, list[AdaptationPoint]] = {}
    left_out: dict[str, str] = {}
    for domain, found in groups.items():
        whole = [point for point in found if is_whole(point)]
        if whole:
            kept[domain] = on_one_text(whole)
        broken = [point for point in found if not is_whole(point)]
        if broken:
            left_out[domain] = tell_broken(broken, len(found))
    return Runs(kept, left_out)


def tell_broken(broken: Sequence[AdaptationPoint], n_runs: int) -> str:
    """Why runs of a domain have no change of loss."""
    waiting = all(point.zero_shot_loss is None and point.loss is not None for point in broken)
    why = "the base model has no evaluation on the same text yet" if waiting else "a loss that is not finite"
    return why if len(broken) == n_runs else f"{len(broken)} of {n_runs} runs left out: {why}"


def on_one_text(points: Sequence[AdaptationPoint]) -> list[AdaptationPoint]:
    """The points of the commonest evaluation set: losses on different texts have no mean."""
    text, _ = Counter(point.eval_set_id for point in points).most_common(1)[0]
    return [point for point in points if point.eval_set_id == text]


def make_points(
    cell: Cell, name: str, runs: Runs, placement: Placement, unit: str, facts: Facts
) -> tuple[list[Point], list[str]]:
    """The points of one cell, and why a domain that was adapted to has none."""
    placed = placement.of(cell)
    points, missing = [], [f"{domain}: {why}" for domain, why in runs.left_out.items()]
    for domain, found in runs.by_domain.items():
        place = placed.get(domain)
        if place is None:
            missing.append(f"{domain}: no {placement.view.title}")
            continue
        if not math.isfinite(place.value):
            missing.append(f"{domain}: its {placement.view.title} is not finite")
            continue
        losses = convert(list(found), unit, facts.scored)
        if losses is None:
            missing.append(f"{domain}: how many bytes were scored is not recorded, so there are no bits per byte")
            continue
        if not math.isfinite(losses.change):
            missing.append(f"{domain}: its perplexity ratio is beyond what a number holds")
            continue
        nats, bits = convert(list(found), NATS, facts.scored), convert(list(found), BITS, facts.scored)
        low, high = place.interval
        points.append(
            Point(
                domain=domain,
                model=name,
                group=facts.groups.of.get(domain),
                similarity=place.oriented,
                similarity_low=low,
                similarity_high=high,
                value=place.value,
                change=losses.change,
                change_low=losses.lowest,
                change_high=losses.highest,
                before=losses.before,
                after=losses.after,
                delta=nats.change,
                zero_shot_loss=nats.before,
                loss=nats.after,
                delta_bits=None if bits is None else bits.change,
                n_seeds=len(found),
                evaluation_before=found[0].zero_shot_evaluation_id,
                evaluation_after=found[0].evaluation_id,
                run_id=found[0].run_id,
                train_tokens=train_tokens(found, facts),
                newline_share=newline_share(found, facts),
            )
        )
    return points, missing


def train_tokens(runs: Sequence[AdaptationPoint], facts: Facts) -> float | None:
    """Tokens of the domain's train split as its runs read it, else as the corpus was counted."""
    known = [tokens for run in runs if (tokens := facts.run_tokens.get(run.owner)) is not None]
    return fmean(known) if known else facts.corpus_tokens.get(runs[0].domain)


def newline_share(runs: Sequence[AdaptationPoint], facts: Facts) -> float | None:
    """Share of newlines among the scored tokens: of the zero-shot evaluation, which predicts the same ones."""
    found = [facts.scored.get(run.zero_shot_evaluation_id or "") for run in runs]
    return next((one.newline_share for one in found if one is not None and one.newline_share is not None), None)


def tell_texts(cells: Mapping[Cell, Runs], text_of: Mapping[str, object]) -> Iterator[str]:
    """Domains that two models were scored on by different texts; ``text_of`` names the text of an evaluation set."""
    texts: dict[str, set[object]] = defaultdict(set)
    for runs in cells.values():
        for domain, found in runs.by_domain.items():
            texts[domain].add(text_of.get(found[0].eval_set_id or "", found[0].eval_set_id))
    several = sorted(domain for domain, seen in texts.items() if len(seen) > 1)
    if several:
        more = f" and {len(several) - 4} more" if len(several) > 4 else ""
        named = f"{', '.join(several[:4])}{more}"
        yield f"The models were scored on different texts of {named}: their changes need not agree there."
