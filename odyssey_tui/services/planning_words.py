"""A plan in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from odyssey_tui.services.format import count

if TYPE_CHECKING:
    from engine.laws.planner import Limits
    from odyssey_tui.services.plan import Answer, Critical


def tell_limits(limits: Limits, gain: float | None) -> tuple[str, ...]:
    """The limits in words; a gain that was asked for explains the target loss."""
    from_gain = f" ({gain:g} below zero-shot)" if gain is not None else ""
    parts = (
        (limits.forgetting, lambda v: f"forgetting ≤ {v:g} nats"),
        (limits.forgetting_share, lambda v: f"forgetting ≤ {v:.3g} of the base loss"),
        (limits.target_loss, lambda v: f"target loss ≤ {v:.4g} nats{from_gain}"),
        (limits.flops, lambda v: f"compute ≤ {count(v)}FLOP"),
        (limits.target_tokens, lambda v: f"domain text ≤ {count(v)} tokens"),
        (limits.probability, lambda v: f"all of it in {v:.0%} of the draws"),
    )
    return tuple(word(value) for value, word in parts if value is not None)


def tell_answer(answer: Answer) -> tuple[str, ...]:
    """The answer in sentences."""
    if answer.model is None:
        return (answer.reason,)
    start = "forecast" if answer.model.forecast else "measured"
    model = (
        f"Model {answer.model.label}, P = {answer.model.ptpp:.3g}; before adaptation ({start}) target "
        f"{answer.model.target_zero_shot:.3f}, base {answer.model.base_zero_shot:.3f} nats/token."
    )
    of = " · ".join(part for part in (answer.domain, *answer.files) if part)
    laws = f"Laws: {answer.target_form} (target), {answer.base_form} (base){f', of {of}' if of else ''}."
    found = (tell_choice(answer),) if answer.choice else (tell_nothing(answer), *answer.shortfalls)
    return (*found, model, laws, *(tell_critical(answer.critical) if answer.choice else ()), *answer.warnings)


def tell_nothing(answer: Answer) -> str:
    """That no cell will do."""
    return f"Nothing in the grid meets {' and '.join(answer.limits) or 'no limit'}."


def tell_choice(answer: Answer) -> str:
    """The chosen cell."""
    from odyssey_tui.services.plan import PROBLEMS

    cell = answer.choice
    if cell is None:
        return tell_nothing(answer)
    sure = "" if math.isnan(cell.probability) else f", feasible in {cell.probability:.0%} of the draws"
    found = (
        f"{PROBLEMS[answer.goal]} with {' and '.join(answer.limits) or 'no limit'}: ρ = {cell.replay_ratio:.3g}, ATPP "
        f"= {cell.atpp:.3g} ({count(cell.flops)}FLOP){sure}; target {cell.target_loss:.3f}, forgetting "
        f"{cell.forgetting:+.3f} nats/token."
    )
    return found.replace("-", "−") if cell.forgetting < 0 else found


def tell_short(answer: Answer) -> str:
    """The answer in a line."""
    from odyssey_tui.services.plan import PROBLEMS

    cell = answer.choice
    if cell is None:
        return tell_nothing(answer)
    sure = "" if math.isnan(cell.probability) else f", feasible in {cell.probability:.0%}"
    return f"{PROBLEMS[answer.goal]}: ρ {cell.replay_ratio:.3g}, ATPP {cell.atpp:.3g}, {count(cell.flops)}FLOP{sure}"


def tell_critical(critical: Sequence[Critical]) -> tuple[str, ...]:
    """The largest domain shares at three budgets."""
    if not critical:
        return ()
    shown = [critical[index] for index in sorted({0, len(critical) // 2, len(critical) - 1})]
    listed = ", ".join(f"{one.target_share:.0%} at ATPP {one.atpp:.3g}" for one in shown)
    return (f"Largest domain share within the limit on forgetting: {listed}.",)


def tell_reach(reach: Mapping[str, float]) -> str:
    """``×2.1 N, ×4 P``: how far beyond the fitted points; empty where nowhere."""
    return ", ".join(f"×{factor:.3g} {symbol}" for symbol, factor in reach.items())
