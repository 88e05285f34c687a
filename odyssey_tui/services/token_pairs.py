"""Which pair of stored evaluations a token ledger compares: by run, state or identifier, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.evaluations import of_last_state, reached
from odyssey_tui.services.state_words import adapted_words, base_words, state_words
from store.errors import ConfigError, DataError, OdysseyError
from store.names import suggest

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.evaluations import StateEvaluation
    from store.queries.runs import RunRow


@dataclass(frozen=True)
class PairName:
    """The two evaluations of a pair: by identifier, by state, and in words (sizes, PTPP, replay ratio, ATPP)."""

    before_id: str
    after_id: str
    before: str
    after: str
    eval_set: str
    role: str
    run_id: str | None
    """The run of the state after adaptation."""
    before_words: str
    after_words: str
    delta: float
    """Loss after minus loss before, nats per token."""


def name_pairs(found: Sequence[StateEvaluation], runs: Sequence[RunRow]) -> list[PairName]:
    """Every adapted state with a token ledger beside its base state: last states on their own domain and on the base
    text first, of them the largest rise."""
    by_id = {run.run_id: run for run in runs}
    usable = [evaluation for evaluation in found if is_adapted(evaluation)]
    last: dict[str | None, tuple[float, float, bool]] = {}
    for evaluation in usable:
        last[evaluation.run_id] = max(reached(evaluation), last.get(evaluation.run_id, (0.0, 0.0, False)))
    # On other domains' text everything rises: that would hide what the screen is opened for.
    usable.sort(key=lambda one: (reached(one) != last[one.run_id], one.role == "other", -(one.delta or 0.0)))
    return [name_pair(evaluation, by_id.get(evaluation.run_id or "")) for evaluation in usable]


def choose_pair(con: Connection, before: str, after: str | None, on: str) -> PairName:
    """The pair meant by what the user typed."""
    if after is None:
        there = meant(con, before, on)
        adapted = [evaluation for evaluation in there if is_adapted(evaluation)]
        if not there:
            raise not_on(con, before, on)
        if not adapted:
            raise DataError(
                f"{before} has no losses before and after adaptation on {on}",
                "Give an adapted run that is evaluated, or two evaluations, states or runs. `odyssey store gc` may "
                "have dropped its losses.",
            )
        return name_pair(adapted[-1], run_of(con, adapted[-1]))
    afters, befores = meant(con, after, on), meant(con, before, None)
    for last in reversed(afters):
        for first in reversed(befores):
            same = (first.eval_set_id, first.scheme_json) == (last.eval_set_id, last.scheme_json)
            if same and first.evaluation_id != last.evaluation_id:
                return name_states(con, first, last)
    raise explain_no_pair(con, (before, befores), (after, afters), on)


def explain_no_pair(
    con: Connection, before: tuple[str, list[StateEvaluation]], after: tuple[str, list[StateEvaluation]], on: str
) -> OdysseyError:
    """Why none of the evaluations of two things, as typed, make a pair."""
    from store.queries.tokens import make_pair

    for what, found in (after, before):
        if not found:
            return not_on(con, what, on)
    texts = {one.eval_set for one in after[1]}
    first = next((one for one in before[1] if one.eval_set in texts), before[1][-1])
    last = next((one for one in after[1] if one.eval_set == first.eval_set), after[1][-1])
    try:
        make_pair(con, first, last)
    except OdysseyError as error:
        if len(before[1]) == len(after[1]) == 1:
            return error
        return ConfigError(f"{before[0]} and {after[0]} share no evaluation on {on}: {error.message}", error.hint)
    return ConfigError(f"{before[0]} and {after[0]} share no evaluation on {on}")


def not_on(con: Connection, what: str, on: str) -> OdysseyError:
    """What is typed is not evaluated on a role or set: where it is."""
    sets = sorted({one.eval_set for one in meant(con, what, None)})
    if not sets:
        return DataError(f"{what} has no evaluation yet", f"`odyssey show {what}` tells what it is at.")
    return ConfigError(
        f"{what} is not evaluated on {on}",
        f"{suggest(on, sets)} It is evaluated on {', '.join(sets)}.".lstrip(),
    )


def meant(con: Connection, wanted: str, on: str | None) -> list[StateEvaluation]:
    """Evaluations of what ``wanted`` names: itself, a state's, or a run's last state's; only those on ``on``."""
    from store.queries.evaluations import find_evaluation, list_evaluations, list_model_evaluations
    from store.queries.runs import resolve_run

    if "@" in wanted and (of_state := list_model_evaluations(con, [wanted])):
        return [evaluation for evaluation in of_state if is_on(evaluation, on)]
    try:
        run_id = resolve_run(con, wanted)
    except OdysseyError as no_run:
        try:
            return [find_evaluation(con, wanted)]
        except OdysseyError:
            raise no_run from None
    return of_last_state([evaluation for evaluation in list_evaluations(con, [run_id]) if is_on(evaluation, on)])


def is_on(evaluation: StateEvaluation, on: str | None) -> bool:
    """Whether the evaluation has this role or set (any, when None)."""
    return on is None or on in (evaluation.role, evaluation.eval_set)


def is_adapted(evaluation: StateEvaluation) -> bool:
    """Whether the evaluation has a zero-shot one beside it, and what a ledger is made of."""
    return evaluation.zero_shot_evaluation_id is not None and evaluation.has_ledger


def run_of(con: Connection, evaluation: StateEvaluation) -> RunRow | None:
    """The run that an evaluated state belongs to; None for a model from outside."""
    from store.queries.runs import find_run

    return find_run(con, evaluation.run_id) if evaluation.run_id is not None else None


def name_pair(evaluation: StateEvaluation, run: RunRow | None) -> PairName:
    """An adapted state beside its base state."""
    return PairName(
        evaluation.zero_shot_evaluation_id or "",
        evaluation.evaluation_id,
        evaluation.parent or "zero-shot",
        evaluation.model_id,
        evaluation.eval_set,
        evaluation.role,
        evaluation.run_id,
        base_words(evaluation, run),
        adapted_words(evaluation, run),
        evaluation.delta or 0.0,
    )


def name_states(con: Connection, first: StateEvaluation, last: StateEvaluation) -> PairName:
    """Any two states on the same text."""
    run = run_of(con, last)
    if last.zero_shot_evaluation_id == first.evaluation_id:
        return name_pair(last, run)
    return PairName(
        first.evaluation_id,
        last.evaluation_id,
        first.model_id,
        last.model_id,
        last.eval_set,
        last.role,
        last.run_id,
        state_words(first, run_of(con, first)),
        state_words(last, run),
        last.loss - first.loss,
    )


def scheme_words(scheme: Mapping[str, Any]) -> str:
    """How losses were computed, in a few words."""
    stride = f", stride {scheme['stride']}" if scheme.get("stride") else ""
    bos = ", BOS" if scheme.get("bos") else ""
    return f"{scheme.get('kind', '?')}, window {scheme.get('window', '?')}{stride}{bos}, {scheme.get('precision', '?')}"
