"""Scored states with what no label tells: the base they come from, and how their training differs from others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from odyssey_tui.services.scatter_cells import NAMED, REPLAYED, Surroundings, describe_bases, find_differing, flatten
from store.queries.scored_states import ScoredState

if TYPE_CHECKING:
    from store.queries.domain_facts import BaseState, Recipe
    from store.queries.runs import RunRow

Details = tuple[tuple[str, str], ...]
"""Keys of a specification and their values as text."""


@dataclass(frozen=True)
class State(ScoredState):
    """A scored state with the rest of what tells it apart."""

    base: tuple[str, Details]
    """What the base state is called, and how its pretraining differs from that of others at hand."""
    recipe: Details
    """Whatever differs in training or method among the runs at hand and has no label."""


def describe_states(
    states: Sequence[ScoredState], recipes: Mapping[str, Recipe], bases: Mapping[str, BaseState]
) -> list[State]:
    """The states with their bases and recipes."""
    own = describe_recipes({state.run_id: state.replay_ratio for state in states}, recipes)
    known = describe_bases(Surroundings(recipes=recipes, bases=bases))
    names = [field.name for field in fields(ScoredState)]
    return [
        State(
            *(getattr(state, name) for name in names),
            base=known.get(state.base_model_id, (state.base_model_id, ())),
            recipe=own[state.run_id],
        )
        for state in states
    ]


def describe_recipes(runs: Mapping[str, float | None], recipes: Mapping[str, Recipe]) -> dict[str, Details]:
    """What differs in the recipes of runs, given with their replay ratios; without replay it replays nothing."""
    flat = {run_id: flatten(recipes.get(run_id), NAMED) for run_id in runs}
    for run_id, replay_ratio in runs.items():
        if not replay_ratio:
            flat[run_id].pop(REPLAYED, None)
    differing = find_differing(flat.values())
    return {run_id: tuple((key, own[key]) for key in differing if key in own) for run_id, own in flat.items()}


@dataclass(frozen=True)
class Planned:
    """An adaptation as launched, whatever has become of it: what its labels say."""

    run_id: str
    name: str
    state: str
    reason: str
    domain: str | None
    size: str | None
    ptpp: float | None
    method: str | None
    rank: int | None
    lr: float | None
    replay_ratio: float | None
    variant: str | None
    newlines: str
    seed: int | None
    recipe: Details
    n_params: int | None = None
    """Not known before there is a state."""


def describe_runs(runs: Sequence[RunRow], recipes: Mapping[str, Recipe]) -> list[Planned]:
    """What stored adaptations say of themselves."""
    own = describe_recipes({run.run_id: run.replay_ratio for run in runs}, recipes)
    return [
        Planned(
            run.run_id,
            run.name,
            run.state,
            run.reason,
            run.domain,
            run.size,
            run.ptpp,
            run.method,
            run.labels.get("rank"),
            run.labels.get("lr"),
            run.replay_ratio,
            run.labels.get("variant"),
            run.labels.get("newlines") or "keep",
            run.seed,
            own[run.run_id],
        )
        for run in runs
    ]
