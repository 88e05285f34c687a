"""Repairs side by side: ways to adapt one base to one domain, what each did to it, which tokens, and what it cost.

Everything else is the same for all of them: base, domain, budget, tokenizer, evaluation set. A way is a variant, a
form of the training text, a method, a replay ratio, a learning rate, or weights interpolated with the base (WiSE-FT).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.filter import parse_filter
from odyssey_tui.services.format import perplexity
from odyssey_tui.services.ledger import CLASSES
from odyssey_tui.services.matrix import is_own, one_run_a_seed, one_text_a_name
from odyssey_tui.services.matrix_cells import (
    Cell,
    Choice,
    Key,
    group_by_cell,
    key_of,
    rank_cells,
    varying_words,
)
from odyssey_tui.services.matrix_order import natural
from odyssey_tui.services.matrix_values import Score, Summary, score_of, summary_of
from odyssey_tui.services.repairs_against import Against, compare
from odyssey_tui.services.repairs_ways import (
    FIELDS,
    FREED,
    find_plain,
    label_ways,
    name_reference,
    ways_of,
    words_of_way,
)
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    import numpy as np

    from odyssey_tui.services.matrix_source import Source
    from odyssey_tui.services.matrix_state import State
    from store.database import Connection
    from store.workspace import Workspace

NOTHING = "No adapted state has been scored on the domain it was adapted to yet."
NOTHING_HINT = (
    "Repairs are blocks of `adapt:` with a `variant`, `newlines`, `method`, `replay_ratio`, `lr` or `wise_ft`."
)


@dataclass(frozen=True)
class Repair:
    """One way to adapt. Changes in nats per token; means over seeds."""

    label: str
    """What it does otherwise than the plain one."""
    words: str
    """What it does: ``full, lr 0.001, replay 0``."""
    ways: Mapping[str, Any]
    """Under the names of FIELDS."""
    n_seeds: int
    target: Summary | None
    """ΔL on the domain."""
    of_class: Summary | None
    """The part of it that the classes asked for contribute; None where sums by token type are not kept."""
    rest: Summary | None
    base: Summary | None
    """ΔL on the base text: forgetting."""
    against_target: Against | None
    against_base: Against | None
    is_plain: bool
    before: str | None
    after: str
    """With ``before`` the pair of the first seed on the domain, for the token ledger."""
    run_ids: tuple[str, ...]

    @property
    def ppl_ratio(self) -> float | None:
        """Adapted over zero-shot perplexity on the domain: exp of the mean ΔL."""
        return None if self.target is None else perplexity(self.target.mean)


@dataclass(frozen=True)
class Repairs:
    """Everything the comparison shows; without rows ``reason`` and ``hint`` say why and what to do."""

    domain: str = ""
    text: str = ""
    """What was scored: the domain's own set, or another one that was asked for."""
    cell: Cell | None = None
    cell_text: str = ""
    choices: tuple[Choice, ...] = ()
    classes: tuple[str, ...] = ()
    rows: tuple[Repair, ...] = ()
    called: str = "plain"
    """What the others are compared with, in a word."""
    notes: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""

    @property
    def plain(self) -> Repair | None:
        """What the others are compared with."""
        return next((row for row in self.rows if row.is_plain), None)

    def best(self, text: str) -> Repair | None:
        """The way with the lowest mean ΔL on ``target`` or ``base``."""
        measured = [row for row in self.rows if getattr(row, text) is not None]
        return min(measured, key=lambda row: getattr(row, text).mean, default=None)


def compare_repairs(
    workspace: Workspace,
    source: Source,
    *,
    domain: str | None = None,
    text: str | None = None,
    cell: Cell | None = None,
    like: Cell | None = None,
    classes: Sequence[str] = ("newline",),
    plain: str = "",
) -> Repairs:
    """The ways to adapt to ``domain`` (that with the most of them) in one cell of size, PTPP and budget.

    ``cell``: one of the choices; ``like``: a cell of a matrix to be as close to as can be. ``text``: the evaluation set
    that counts, instead of the domain's own. Raises ConfigError for a domain, text, class
    or filter that there is not.
    """
    from store.database import lease

    check_classes(classes)
    chosen_plain = parse_filter(plain, FIELDS)
    if not any(map(is_own, source.states)):
        return Repairs(classes=tuple(classes), reason=source.reason or NOTHING, hint=source.hint or NOTHING_HINT)
    states = of_domain(source.states, domain)
    counts = on_text(states, text)
    states = [state for state in states if counts(state) or state.role == "base"]
    cells = group_by_cell(states, FREED)
    choices = tuple(rank_cells(cells, FREED))
    chosen = cell if cell in cells else closest(choices, like)
    kept, repeated = one_run_a_seed(cells[chosen], FREED)
    own, others = one_text_a_name([state for state in kept if counts(state)])
    base, _ = one_text_a_name([state for state in kept if state.role == "base" and not counts(state)])
    target_states, base_states = largest(own), largest(base)
    keys = tuple(dict.fromkeys(key_of(state, FREED) for state in target_states))
    scores = {key: (by_seed(target_states, key), by_seed(base_states, key)) for key in keys}
    measured = {key: len(scores[key][0]) for key in keys}
    reference = find_plain(keys, measured, chosen_plain.accepts if plain else None)
    labels = label_ways(keys, reference)
    with lease(workspace) as con:
        shares = read_shares(con, [scores[key][0] for key in keys], classes)
        rows = [
            make_repair(
                labels[key],
                key,
                scores[key],
                share,
                None if reference is None or key == reference else scores[reference],
                con,
                is_plain=key == reference,
            )
            for key, share in zip(keys, shares, strict=True)
        ]
    rows.sort(key=lambda row: (not row.is_plain, row.ways["alpha"] is not None, natural(row.label)))
    return Repairs(
        chosen["domain"] or "–",
        target_states[0].eval_set if target_states else text or "–",
        chosen,
        varying_words(choices, chosen, source.tokenizers, without=("domain",)),
        choices,
        tuple(classes),
        tuple(rows),
        name_reference(reference) if reference is not None else "plain",
        tuple(tell_left_out(repeated, others, {labels[key]: (target_states, key, scores[key][0]) for key in keys})),
    )


def closest(choices: Sequence[Choice], like: Cell | None) -> Cell:
    """The cell that has the most in common with one of a matrix; the fullest of those, and without one."""
    if like is None:
        return choices[0].cell
    wanted = dict(like.values)

    def agreement(one: Choice) -> int:
        return sum(wanted.get(name) == value for name, value in one.cell.values)

    return max(choices, key=agreement).cell


def tell_left_out(
    repeated: Sequence[str],
    others: Mapping[str, int],
    rows: Mapping[str, tuple[Sequence[State], Key, Mapping[int | None, Score]]],
) -> Iterator[str]:
    """What is not in the table, and why."""
    if repeated:
        yield f"{len(repeated)} older runs that nothing tells apart from others are left out."
    if others:
        yield f"{sum(others.values())} scores on another text of the same name are left out."
    if rows and max(len(scores) for _, _, scores in rows.values()) == 1:
        yield "One seed each: how much another seed would change is not known."
    for label, (states, key, scores) in rows.items():
        seeds = {state.seed for state in states if key_of(state, FREED) == key}
        if lost := len(seeds) - len(scores):
            yield f"{label}: no finite ΔL of {lost} of {len(seeds)} seeds."


def on_text(states: Sequence[State], text: str | None) -> Callable[[State], bool]:
    """Which scores count; ConfigError naming the nearest for a set that nothing was scored on."""
    if text is None:
        return is_own
    known = sorted({state.eval_set for state in states})
    if text not in known:
        raise ConfigError(
            f"--set {text}: no way to adapt was scored on a set of this name",
            f"{suggest(text, known)} Sets are: {', '.join(known)}.".lstrip(),
        )
    return lambda state: state.eval_set == text


def check_classes(classes: Sequence[str]) -> None:
    """ConfigError for a token class that there is not."""
    for name in classes:
        if name not in CLASSES:
            raise ConfigError(
                f"--class {name}: no such class of tokens", f"{suggest(name, CLASSES)} Classes: {', '.join(CLASSES)}."
            )


def of_domain(states: Sequence[State], domain: str | None) -> list[State]:
    """The states adapted to ``domain``; ConfigError naming the nearest for one that nothing was adapted to."""
    known = sorted({state.domain for state in states if state.domain})
    if domain is not None and domain not in known:
        raise ConfigError(
            f"--domain {domain}: nothing here was adapted to it",
            f"{suggest(domain, known)} Domains are: {', '.join(known)}.".lstrip(),
        )
    return [state for state in states if domain in (None, state.domain)]


def largest(texts: Mapping[str, list[State]]) -> list[State]:
    """The states on the text that most of them were scored on; none where there is no text."""
    return max(texts.values(), key=len, default=[])


def by_seed(states: Sequence[State], key: Key) -> dict[int | None, Score]:
    """The scores of one way by seed, finite ones only."""
    found = sorted((state for state in states if key_of(state, FREED) == key), key=lambda one: one.seed or 0)
    scores = {state.seed: score_of(state) for state in found}
    return {seed: score for seed, score in scores.items() if score.delta is not None}


def read_shares(
    con: Connection, found: Sequence[Mapping[int | None, Score]], classes: Sequence[str]
) -> list[list[tuple[float, float] | None]]:
    """Of each way and seed what the classes and everything else contribute to ΔL; None where no sums are kept."""
    from store.queries.sums import agree, read_class_changes

    pairs = [(score.before or "", score.after) for scores in found for score in scores.values()]
    columns = read_class_changes(con, pairs)
    shares, start = [], 0
    for scores in found:
        own = []
        for score in scores.values():
            rows = columns["pair"] == start
            start += 1
            part = {name: values[rows] for name, values in columns.items()}
            complete = agree(part) and int(part["count"].sum()) == score.predicted
            own.append(split_change(part, classes) if complete else None)
        shares.append(own)
    return shares


def split_change(part: Mapping[str, np.ndarray], classes: Sequence[str]) -> tuple[float, float]:
    """c of the classes together and of all others, nats per token: they add up to ΔL."""
    import numpy as np

    change = (part["sum_after"] - part["sum_before"]) / part["count"].sum()
    meant = np.isin(part["token_class"].astype(str), list(classes))
    return float(change[meant].sum()), float(change[~meant].sum())


def make_repair(
    label: str,
    key: Key,
    scores: tuple[Mapping[int | None, Score], Mapping[int | None, Score]],
    shares: Sequence[tuple[float, float] | None],
    plain: tuple[Mapping[int | None, Score], Mapping[int | None, Score]] | None,
    con: Connection,
    *,
    is_plain: bool,
) -> Repair:
    """One row."""
    target, base = scores
    known = [share for share in shares if share is not None]
    complete = known if len(known) == len(target) else []
    first = next(iter(target.values()), None)
    return Repair(
        label,
        words_of_way(key),
        ways_of(key),
        len(target),
        summary_of([score.delta for score in target.values() if score.delta is not None]),
        summary_of([of_class for of_class, _ in complete]),
        summary_of([rest for _, rest in complete]),
        summary_of([score.delta for score in base.values() if score.delta is not None]),
        compare(con, plain[0], target) if plain is not None else None,
        compare(con, plain[1], base) if plain is not None else None,
        is_plain,
        first.before if first else None,
        first.after if first else "",
        tuple(score.run_id for score in target.values()),
    )
