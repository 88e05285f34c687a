"""Model states in the words of the field: what was adapted to what, how much, with how much replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.queries.evaluations import StateEvaluation
    from store.queries.runs import RunRow


def base_words(evaluation: StateEvaluation, run: RunRow | None) -> str:
    """The base state under an evaluated one: ``m at P 64``; its identifier where size and PTPP are not known."""
    parts = []
    if run is not None and run.size:
        parts.append(run.size)
    if evaluation.ptpp is not None:
        parts.append(f"at P {evaluation.ptpp:g}")
    return " ".join(parts) or evaluation.parent or evaluation.model_id


def adapted_words(evaluation: StateEvaluation, run: RunRow | None) -> str:
    """What was done to it: ``adapted to tests, ρ 0.25, A 8``; the method where it is not full fine-tuning."""
    if run is None or not run.domain:
        return evaluation.model_id
    parts = [f"adapted to {run.domain}"]
    if run.replay_ratio is not None:
        parts.append(f"ρ {run.replay_ratio:g}")
    if evaluation.atpp is not None:
        parts.append(f"A {evaluation.atpp:g}")
    if run.method not in (None, "full"):
        parts.append(run.method)
    return ", ".join(parts)


def state_words(evaluation: StateEvaluation, run: RunRow | None) -> str:
    """One state by itself: ``m at P 64, adapted to tests, ρ 0.25, A 8``."""
    base = base_words(evaluation, run)
    return base if evaluation.parent is None else f"{base}, {adapted_words(evaluation, run)}"
