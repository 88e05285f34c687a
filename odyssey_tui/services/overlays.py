"""Curves of several runs in one chart: only where their values have one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from odyssey_tui.services.curve_names import PER_TOKEN
from odyssey_tui.services.tokenizer_fair import weigh

if TYPE_CHECKING:
    from odyssey_tui.services.curves import Curve
    from store.workspace import Workspace


@dataclass(frozen=True)
class Subject:
    """What one line of an overlay stands for: a run, or runs that differ in their seed alone."""

    label: str
    run_ids: tuple[str, ...]


def read_overlay(
    workspace: Workspace, subjects: Sequence[Subject], metric: str, axis: str
) -> tuple[tuple[Curve, ...], str]:
    """Curves of one metric, the mean over its runs of a subject of several, and what is left out of the chart.

    Of one run alone every branch.

    Losses per token of another tokenizer than the first run's are not drawn beside it.
    """
    from odyssey_tui.services.curves import read_curves
    from odyssey_tui.services.seed_bands import average_curves
    from store.database import lease
    from store.queries.tokenizers import find_tokenizers

    drawn = run_ids = list(dict.fromkeys(run_id for subject in subjects for run_id in subject.run_ids))
    if not run_ids:
        return (), ""
    note = ""
    if metric in PER_TOKEN and len(drawn) > 1:
        with lease(workspace) as con:
            tokenizers = find_tokenizers(con, drawn)
        fair = weigh(tokenizers.get(run_id) for run_id in drawn)
        if not fair.per_token:
            first = next(one for run_id in drawn if (one := tokenizers.get(run_id)) is not None)
            drawn = [run_id for run_id in drawn if tokenizers.get(run_id) == first]
            note = f"without {len(run_ids) - len(drawn)} of another tokenizer"
        elif fair.sentence:
            note = "tokenizers not all recorded"
    curves = read_curves(workspace, drawn, metric, axis)
    if len(run_ids) == 1:
        (name,) = {subject.label for subject in subjects}
        return tuple(replace(curve, label=f"{name} {curve.label}".removesuffix(" trunk")) for curve in curves), note
    trunks = {curve.run_id: curve for curve in curves if curve.branch == "trunk"}
    joined = [(subject, [trunks[one] for one in subject.run_ids if one in trunks]) for subject in subjects]
    return tuple(average_curves(found, subject.label) for subject, found in joined if found), note


def join_seeds(workspace: Workspace, subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Subjects of single runs, those that differ in their seed alone as one, with labels joined by ``+``."""
    from store.database import lease
    from store.queries.seeds import find_seed_keys

    with lease(workspace) as con:
        keys = find_seed_keys(con, [subject.run_ids[0] for subject in subjects])
    joined: dict[str, list[Subject]] = {}
    for subject in subjects:
        joined.setdefault(keys[subject.run_ids[0]], []).append(subject)
    return tuple(
        Subject("+".join(one.label for one in members), tuple(one.run_ids[0] for one in members))
        for members in joined.values()
    )
