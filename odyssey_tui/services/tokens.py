"""Which pair of evaluations a token ledger compares, and reading it: ledger, document interval, worst passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.evaluations import bootstrap_change, of_last_state, reached
from odyssey_tui.services.format import perplexity, signed
from odyssey_tui.services.ledger import Ledger
from odyssey_tui.services.passages import Passage, cut_passage
from odyssey_tui.services.state_words import adapted_words, base_words, state_words
from store.errors import ConfigError, DataError, OdysseyError

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.evaluations import StateEvaluation
    from store.queries.passages import Passage as Place
    from store.queries.runs import RunRow
    from store.workspace import Workspace

PASSAGES = 200
NO_PAIR = "No adapted state with per-token losses yet."
NO_PAIR_HINT = "Pairs appear when adaptation runs are evaluated: launch an experiment (3) and watch it (1)."


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


@dataclass(frozen=True, eq=False)
class TokenReport:
    """Everything about a pair but the text itself; ``places`` are its worst passages, the worst first (none when
    only sums are kept)."""

    name: PairName
    ledger: Ledger
    places: tuple[Place, ...]
    scheme: str


def list_pairs(workspace: Workspace) -> list[PairName]:
    """Every adapted state with a token ledger beside its base state: last states first, of them the largest rise."""
    from store.database import lease
    from store.queries.evaluations import list_evaluations
    from store.queries.runs import list_runs

    with lease(workspace) as con:
        found = list_evaluations(con)
        runs = {run.run_id: run for run in list_runs(con)}
    usable = [evaluation for evaluation in found if is_adapted(evaluation)]
    last: dict[str | None, tuple[float, float, bool]] = {}
    for evaluation in usable:
        last[evaluation.run_id] = max(reached(evaluation), last.get(evaluation.run_id, (0.0, 0.0, False)))
    usable.sort(key=lambda one: (reached(one) != last[one.run_id], -(one.delta or 0.0)))
    return [name_pair(evaluation, runs.get(evaluation.run_id or "")) for evaluation in usable]


def read_tokens(workspace: Workspace, before: str, after: str | None = None, *, on: str = "target") -> TokenReport:
    """The ledger of a pair.

    ``before`` and ``after`` are evaluations, model states (``RUN@STATE``) or runs (their last state), by identifier or
    a unique beginning; ``before`` alone is an adapted run or state, compared with its own base state. ``on`` is a role
    (target, base) or the name of an evaluation set. Raises OdysseyError where there is no such pair.
    """
    from store.database import lease
    from store.queries.passages import rank_passages
    from store.queries.tokens import open_pair, read_ledger

    with lease(workspace) as con:
        name = choose_pair(con, before, after, on)
        pair = open_pair(con, name.before_id, name.after_id)
        stored = read_ledger(con, pair)
        change = bootstrap_change(con, pair)
        places = rank_passages(con, pair, limit=PASSAGES) if pair.has_tokens else []
    ledger = Ledger(
        stored.token_id,
        tuple(str(text) for text in stored.text),
        tuple(str(name) for name in stored.token_class),
        stored.count,
        stored.sum_before,
        stored.sum_after,
        change,
    )
    return TokenReport(name, ledger, tuple(places), describe_scheme(pair.before))


def read_passage(workspace: Workspace, name: PairName, place: Place) -> Passage:
    """The text of one of the pair's passages, token by token."""
    from store.database import lease
    from store.queries.passages import read_block
    from store.queries.tokens import open_pair

    with lease(workspace) as con:
        block = read_block(con, open_pair(con, name.before_id, name.after_id), place.block)
    return cut_passage(place, block)


def pair_ids(name: PairName) -> tuple[str, str]:
    """Identifiers before and after."""
    return name.before_id, name.after_id


def choose_pair(con: Connection, before: str, after: str | None, on: str) -> PairName:
    """The pair meant by what the user typed."""
    if after is None:
        adapted = [evaluation for evaluation in meant(con, before, on) if is_adapted(evaluation)]
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
    raise ConfigError(
        f"{before} and {after} share no evaluation on {on}: the same text, tokenizer and scheme",
        "Their perplexities cannot be compared token by token; `odyssey compare` shows bits per byte.",
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


def describe_scheme(evaluation: StateEvaluation) -> str:
    """How the losses were computed, in a few words."""
    scheme = evaluation.scheme
    stride = f", stride {scheme['stride']}" if scheme.get("stride") else ""
    return f"{scheme.get('kind', '?')}, window {scheme.get('window', '?')}{stride}, {scheme.get('precision', '?')}"


def tell_ledger(ledger: Ledger) -> Sequence[str]:
    """The finding in sentences: ΔL with its interval, perplexities, how concentrated the rise is."""
    found = ledger.documents
    interval = "" if found.low is None else f" [{signed(found.low, 4)}, {signed(found.high, 4)}]"
    reason = f" ({found.reason})" if found.reason else ""
    sentences = [
        f"ΔL = {signed(ledger.delta, 4)}{interval} nats/token over {ledger.predicted:,} tokens of "
        f"{found.n} documents{reason}; PPL {perplexity(ledger.loss_before):.2f} → {perplexity(ledger.loss_after):.2f}."
    ]
    if ledger.n_rising == 0:
        sentences.append("No token type rises, so the share of the rise is undefined; k* = 0.")
    else:
        shares = ", ".join(f"top {k}: {ledger.share(k):.0%}" for k in (1, 10) if k <= ledger.n_rising)
        sentences.append(
            f"{ledger.n_rising} of {len(ledger.counts)} types rise; share of the rise {shares}; "
            + (f"k* = {ledger.k_star}: without them ΔL ≤ 0." if ledger.k_star else "k* = 0: ΔL is not positive.")
        )
    return sentences
