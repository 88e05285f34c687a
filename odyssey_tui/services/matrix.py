"""Adapt × evaluate: what adaptation to each domain did to the loss on every text, one cell of conditions at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from odyssey_tui.services.matrix_cells import (
    AXES,
    ROWS,
    Cell,
    Choice,
    Key,
    freed_by,
    group_by_cell,
    key_of,
    label_rows,
    rank_cells,
    varying_words,
)
from odyssey_tui.services.matrix_missing import Gap, explain_gaps, find_blank_rows, tell_fewer_seeds
from odyssey_tui.services.matrix_order import natural, order_columns, order_rows
from odyssey_tui.services.matrix_values import VALUES, Score, Summary, Value, find_value, score_of, summarise
from odyssey_tui.services.tokenizer_fair import Fairness, weigh
from store.errors import ConfigError

if TYPE_CHECKING:
    from odyssey_tui.services.matrix_source import Source
    from odyssey_tui.services.matrix_state import State

ZERO_SHOT = "zero-shot"
BASE_AXES = ("size", "ptpp", "tokenizer", "base")
"""What a base state depends on."""


@dataclass(frozen=True)
class Column:
    """A text that states were scored on."""

    name: str
    is_base: bool
    """Text that the base model was trained on."""


@dataclass(frozen=True)
class Row:
    """One adaptation: its words, and its domain where rows are domains."""

    label: str
    domain: str | None
    n_seeds: int


@dataclass(frozen=True)
class Entry:
    """One cell of the matrix: a score for each seed, by seed; ``own``: the text is of the domain adapted to."""

    scores: tuple[Score, ...]
    own: bool

    def summary(self, value: Value) -> Summary | None:
        """What the seeds say together."""
        return summarise(self.scores, value)


@dataclass(frozen=True)
class Matrix:
    """Everything the matrix shows; without rows ``reason`` and ``hint`` say why and what to do."""

    rows_by: str
    value: Value
    cell: Cell | None = None
    cell_text: str = ""
    choices: tuple[Choice, ...] = ()
    """The cells there are, the fullest first."""
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    entries: Mapping[tuple[str, str], Entry] | None = None
    """By row label and column name."""
    zero_rows: tuple[str, ...] = ()
    """Labels of the zero-shot rows: one, or one for each size, PTPP or tokenizer where rows vary over those."""
    zero_shot: Mapping[tuple[str, str], Entry] | None = None
    """Scores of the base states by zero-shot row and column, one for each base model."""
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    fair: Fairness | None = None
    order: str = "name"
    orders: tuple[str, ...] = ()
    """Orders there are: by similarity only where it is known."""
    reason: str = ""
    hint: str = ""

    def entry(self, row: str, column: str) -> Entry | None:
        """The cell of a row, a zero-shot one or another, and a column."""
        return ((self.zero_shot if row in self.zero_rows else self.entries) or {}).get((row, column))

    def summary(self, row: str, column: str) -> Summary | None:
        """What is shown there."""
        entry = self.entry(row, column)
        return None if entry is None else entry.summary(self.value_of(row))

    def value_of(self, row: str) -> Value:
        """The value that a row shows: a zero-shot one the level that the others start from."""
        return VALUES[self.value.base] if row in self.zero_rows else self.value

    @property
    def row_labels(self) -> tuple[str, ...]:
        """All rows, zero-shot first."""
        return (*self.zero_rows, *(row.label for row in self.rows))

    @property
    def n_missing(self) -> int:
        """Blank cells."""
        return sum(len(gap.places) for gap in self.gaps)

    @property
    def title(self) -> str:
        """``ΔL (nats/token)``."""
        return f"{self.value.title} ({self.value.unit})" if self.value.unit else self.value.title


def assemble(
    source: Source,
    *,
    rows_by: str = "domain",
    value: str | None = None,
    cell: Cell | None = None,
    columns: Sequence[str] = (),
    order: str = "name",
) -> Matrix:
    """The matrix of what was read. ``cell``: one of the choices; by default the fullest.

    Raises ConfigError for rows, values or columns that there are not, and for losses per token of several tokenizers.
    """
    freed = freed_by(rows_by)
    asked = find_value(value) if value is not None else None
    if not source.states:
        return Matrix(rows_by, asked or VALUES["delta"], reason=source.reason, hint=source.hint)
    cells = group_by_cell(source.states, freed)
    choices = tuple(rank_cells(cells, freed))
    chosen = next((one.cell for one in choices if one.cell == cell), choices[0].cell)
    fair = weigh((state.tokenizer_id for state in cells[chosen]), source.tokenizers)
    if asked is not None and asked.per_token and not fair.per_token:
        raise ConfigError(f"--value {asked.name}: {fair.sentence}", "Use --value delta-bits or --value bits.")
    shown = asked or VALUES["delta" if fair.per_token else "delta-bits"]
    body = _Body.of(cells[chosen], freed, source)
    blank = find_blank_rows(source.planned, chosen, freed, body.keys)
    labels = label_rows([*body.keys, *blank], freed, source.tokenizers)
    zero_axes = [name for name in freed if name in BASE_AXES]
    zero_labels = label_zero_rows([key for key, _ in body.zero_shot], zero_axes, source.tokenizers)
    entries = {(labels[key], column.name): entry for (key, column), entry in body.entries.items()}
    wanted = body.pick(columns)
    domains = {labels[key]: key[freed.index("domain")] if "domain" in freed else None for key in labels}
    rows = [Row(labels[key], domains[labels[key]], len(body.seeds.get(key, ()))) for key in labels]
    matrix = Matrix(
        rows_by,
        shown,
        chosen,
        varying_words(choices, chosen, source.tokenizers),
        choices,
        wanted,
        tuple(rows),
        entries,
        tuple(dict.fromkeys(zero_labels.values())),
        {(zero_labels[key], column.name): entry for (key, column), entry in body.zero_shot.items()},
        notes=(
            *body.notes,
            *tell_fewer_seeds(rows, {labels[key]: key for key in labels}, chosen, freed, source),
            *([fair.sentence] if fair.sentence else []),
        ),
        fair=fair,
    )
    rows, orders = order_rows(matrix, order, source.similarity)
    ordered = replace(
        matrix,
        rows=tuple(rows),
        columns=tuple(order_columns(wanted, rows)),
        order=order if order in orders else orders[0],
        orders=orders,
    )
    return replace(ordered, gaps=explain_gaps(ordered, source, chosen, freed, {labels[key]: key for key in labels}))


def list_axes(source: Source) -> tuple[str, ...]:
    """What rows can be so that there are at least two, domains first; all of it where there is nothing yet."""
    there = {name for name, axis in AXES.items() if len({axis.of(state) for state in source.states}) > 1}
    return ("domain", *(name for name, freed in ROWS.items() if name != "domain" and there & set(freed)))


@dataclass(frozen=True)
class _Body:
    """The scores of one cell, by row key and column."""

    keys: tuple[Key, ...]
    seeds: Mapping[Key, frozenset[int | None]]
    columns: tuple[Column, ...]
    entries: Mapping[tuple[Key, Column], Entry]
    zero_shot: Mapping[tuple[Key, Column], Entry]
    """By what of the row the base state depends on."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, states: Sequence[State], freed: Sequence[str], source: Source) -> _Body:
        kept, repeated = one_run_a_seed(states, freed)
        texts, others = one_text_a_name(kept, several_tokenizers=len({state.tokenizer_id for state in kept}) > 1)
        columns = {name: Column(name, any(state.role == "base" for state in found)) for name, found in texts.items()}
        scores: dict[tuple[Key, Column], list[State]] = defaultdict(list)
        zero_shot: dict[tuple[Key, Column], dict[str, State]] = defaultdict(dict)
        zero_axes = [name for name in freed if name in BASE_AXES]
        for name, found in texts.items():
            for state in sorted(found, key=lambda one: (one.seed or 0, one.run_id)):
                scores[key_of(state, freed), columns[name]].append(state)
                if state.zero_shot_evaluation_id is not None:
                    base = key_of(state, zero_axes), columns[name]
                    zero_shot[base].setdefault(state.base_model_id, state)
        keys = tuple(dict.fromkeys(key_of(state, freed) for state in states))
        seeds: dict[Key, set[int | None]] = {key: set() for key in keys}
        for state in kept:
            seeds[key_of(state, freed)].add(state.seed)
        return cls(
            keys,
            {key: frozenset(found) for key, found in seeds.items()},
            tuple(columns.values()),
            {
                place: Entry(tuple(map(score_of, found)), any(is_own(state) for state in found))
                for place, found in scores.items()
            },
            {
                place: Entry(tuple(before_of(state) for state in found.values()), False)
                for place, found in zero_shot.items()
            },
            (*_tell_repeated(repeated), *_tell_others(others), *_tell_cuts(texts)),
        )

    def pick(self, wanted: Sequence[str]) -> tuple[Column, ...]:
        """The columns asked for, in that order; all where none is. ConfigError for a text that there is not."""
        from store.names import suggest

        known = {column.name: column for column in self.columns}
        for name in wanted:
            if name not in known:
                raise ConfigError(
                    f"--columns {name}: nothing in this matrix was scored on a set of this name",
                    f"{suggest(name, known)} Sets are: {', '.join(sorted(known))}.".lstrip(),
                )
        return tuple(known[name] for name in wanted) or self.columns


def label_zero_rows(keys: Sequence[Key], axes: Sequence[str], tokenizers: Mapping[str, str]) -> dict[Key, str]:
    """``zero-shot``, or ``zero-shot, size s`` where rows have several base states."""
    if not axes:
        return dict.fromkeys(keys, ZERO_SHOT)
    labels = label_rows(list(dict.fromkeys(keys)), axes, tokenizers)
    return {key: f"{ZERO_SHOT}, {label}" for key, label in sorted(labels.items(), key=lambda one: natural(one[1]))}


def is_own(state: State) -> bool:
    """Whether a state was scored on the text it was adapted to."""
    return state.role == "target" or state.eval_set == state.domain


def before_of(state: State) -> Score:
    """The base state's own score: nothing has changed."""
    score = score_of(state)
    return replace(
        score,
        run_id=state.base_model_id.rpartition("@")[0] or state.base_model_id,
        after=state.zero_shot_evaluation_id or "",
        loss=score.zero_shot_loss,
        bits=score.zero_shot_bits,
    )


def one_run_a_seed(states: Sequence[State], freed: Sequence[str]) -> tuple[list[State], tuple[str, ...]]:
    """Of several runs with one row and seed the newest; and the others: they differ in what has no axis here."""
    newest: dict[tuple[Key, int | None], tuple[float, str]] = {}
    for state in states:
        place = key_of(state, freed), state.seed
        newest[place] = max((state.queued or 0.0, state.run_id), newest.get(place, (0.0, "")))
    kept = [state for state in states if newest[key_of(state, freed), state.seed][1] == state.run_id]
    return kept, tuple(sorted({state.run_id for state in states} - {state.run_id for state in kept}))


def one_text_a_name(
    states: Sequence[State], *, several_tokenizers: bool = False
) -> tuple[dict[str, list[State]], dict[str, int]]:
    """The states by the name of the set, all on the commonest text of that name; how many are on others.

    Tokenizers cut a text after different bytes, so that with several of them the whole text decides.
    """

    def text_of(state: State) -> Key:
        if state.fingerprint is None:
            return (state.eval_set_id,)
        return state.split, state.fingerprint, None if several_tokenizers else state.set_bytes

    by_name: dict[str, list[State]] = defaultdict(list)
    for state in states:
        by_name[state.eval_set].append(state)
    texts, others = {}, {}
    for name, found in by_name.items():
        ((text, _),) = Counter(map(text_of, found)).most_common(1)
        texts[name] = [state for state in found if text_of(state) == text]
        if left := len(found) - len(texts[name]):
            others[name] = left
    return texts, others


def _tell_repeated(runs: Sequence[str]) -> tuple[str, ...]:
    if not runs:
        return ()
    which = f"{runs[0]} is" if len(runs) == 1 else f"{runs[0]} and {len(runs) - 1} more runs are"
    return (f"{which} left out: a newer run differs from it in nothing that has an axis here (odyssey compare tells).",)


def _tell_others(others: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{count} evaluations on another text called {name} are left out." for name, count in sorted(others.items())
    )


def _tell_cuts(texts: Mapping[str, Sequence[State]]) -> tuple[str, ...]:
    cut = sorted(name for name, found in texts.items() if len({state.set_bytes for state in found}) > 1)
    return (f"Tokenizers cut these texts after different bytes: {', '.join(cut)}.",) if cut else ()
