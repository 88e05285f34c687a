"""What tells adapted states apart, axis by axis, and which of them may stand in one matrix.

A matrix frees the axes that its rows vary over; all others are the same for everything in it: its cell.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from odyssey_tui.services.scatter_cells import rounded
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from odyssey_tui.services.matrix_state import State

Key = tuple[Any, ...]
"""Values of several axes."""
PLAIN = "plain"
"""What a run without a variant is called."""


class Told(Protocol):
    """What a run says of itself before it has any state."""

    domain: str | None
    size: str | None
    ptpp: float | None
    method: str | None
    replay_ratio: float | None


@dataclass(frozen=True)
class Axis:
    """One property. ``words`` is empty where a value goes without saying; the larger ``rank`` is preferred."""

    name: str
    of: Callable[[Any], Any]
    words: Callable[[Any], str]
    rank: Callable[[Any], float]
    planned: bool = True
    """Whether a run has it before it has a state."""


def _size(state: State) -> Key:
    return state.size, state.n_params


def _size_words(value: Key) -> str:
    label, n_params = value
    return f"size {label}" if label else f"{n_params:,} parameters" if n_params else ""


def _method_words(value: Key) -> str:
    name, rank = value
    return f"{name or '?'} r{rank}" if rank is not None else name or ""


def _number(words: str) -> Callable[[float | None], str]:
    return lambda value: "" if value is None else f"{words} {value:g}"


def _details_words(value: Key) -> str:
    return ", ".join(f"{key} {text}" for key, text in value)


def _base_words(value: Key) -> str:
    name, details = value
    return ", ".join(part for part in (f"from {name}" if name else "", _details_words(details)) if part)


def _scheme_words(value: str) -> str:
    scheme = json.loads(value)
    stride = f", stride {scheme['stride']}" if scheme.get("stride") else ""
    return f"scored in {scheme.get('kind', '?')} of {scheme.get('window', '?')}{stride}"


def _budget(value: float | None) -> float | None:
    return None if value is None else rounded(value)


AXES: Mapping[str, Axis] = {
    axis.name: axis
    for axis in (
        Axis("domain", lambda s: s.domain, lambda v: f"adapted to {v}" if v else "", lambda v: 0),
        Axis("size", _size, _size_words, lambda v: v[1] or 0),
        Axis("ptpp", lambda s: _budget(s.ptpp), _number("PTPP"), lambda v: v or 0),
        Axis("method", lambda s: (s.method, s.rank), _method_words, lambda v: v[0] == "full"),
        Axis("lr", lambda s: s.lr, _number("lr"), lambda v: 0),
        Axis("replay_ratio", lambda s: s.replay_ratio, _number("replay"), lambda v: -(v or 0)),
        Axis("variant", lambda s: s.variant, lambda v: v or "", lambda v: v is None),
        Axis(
            "newlines",
            lambda s: s.newlines,
            lambda v: "newlines stripped" if v == "strip" else "",
            lambda v: v == "keep",
        ),
        Axis("alpha", lambda s: s.interpolation, _number("α"), lambda v: v is None, planned=False),
        Axis("atpp", lambda s: _budget(s.atpp), _number("ATPP"), lambda v: v or 0, planned=False),
        Axis(
            "tokenizer", lambda s: s.tokenizer_id, lambda v: f"tokenizer {v}" if v else "", lambda v: 0, planned=False
        ),
        Axis("base", lambda s: s.base, _base_words, lambda v: 0, planned=False),
        Axis("recipe", lambda s: s.recipe, _details_words, lambda v: 0),
        Axis("scheme", lambda s: s.scheme_json, _scheme_words, lambda v: 0, planned=False),
    )
}
RANKED = ("atpp", "size", "ptpp", "replay_ratio", "method", "variant", "newlines", "alpha")
"""In which order ties between cells are decided: more adaptation, the larger model, more pretraining, the plainer."""
SELDOM = ("tokenizer", "base", "recipe", "scheme", "lr")
"""Told only where cells differ in it."""
LAST_RESORT = frozenset({"recipe", "base"})
ROWS: Mapping[str, tuple[str, ...]] = {
    "domain": ("domain",),
    "size": ("size", "base"),
    "ptpp": ("ptpp",),
    "atpp": ("atpp",),
    "replay_ratio": ("replay_ratio",),
    "method": ("method", "lr", "recipe"),
    "lr": ("lr",),
    "variant": ("variant", "newlines", "recipe"),
    "newlines": ("newlines",),
    "alpha": ("alpha",),
    "tokenizer": ("tokenizer", "size", "base"),
    "repair": ("variant", "newlines", "method", "lr", "replay_ratio", "alpha", "recipe"),
}
"""What rows may be, and the axes that each frees."""
PLAIN_WORDS: Mapping[str, Callable[[Any], str]] = {
    "domain": lambda v: v or "–",
    "variant": lambda v: v or PLAIN,
    "newlines": lambda v: "stripped" if v == "strip" else "kept",
    "alpha": lambda v: "trained" if v is None else f"α {v:g}",
}
"""What a value is called at the head of a row, where it is not as in a sentence."""


@dataclass(frozen=True)
class Cell:
    """What everything in one matrix has in common: values by axis."""

    values: tuple[tuple[str, Any], ...]

    def __getitem__(self, axis: str) -> Any:
        return dict(self.values)[axis]

    def text(
        self,
        varying: Collection[str] = (),
        tokenizers: Mapping[str, str] | None = None,
        without: Collection[str] = (),
    ) -> str:
        """``size s, PTPP 16, full, replay 0, ATPP 4``; tokenizer, scheme and rate only where cells are ``varying``."""
        told = [(name, value) for name, value in self.values if name not in without]
        shown = [(name, value) for name, value in told if name not in SELDOM or name in varying]
        return ", ".join(word for name, value in shown if (word := words_of(name, value, tokenizers)))

    def admits(self, run: Told) -> bool:
        """Whether a run that has no state yet would belong here, as far as it says."""
        return all(_told(name, AXES[name].of(run)) == _told(name, v) for name, v in self.values if AXES[name].planned)


@dataclass(frozen=True)
class Choice:
    """A cell there is, and how much of a matrix it fills: rows, row × column pairs, runs."""

    cell: Cell
    n_rows: int
    n_pairs: int
    n_runs: int


def freed_by(rows: str) -> tuple[str, ...]:
    """The axes that rows of this name vary over. ConfigError naming the nearest for one that there is not."""
    if rows not in ROWS:
        raise ConfigError(
            f"--rows {rows}: rows cannot be that", f"{suggest(rows, ROWS)} Rows are: {', '.join(ROWS)}.".lstrip()
        )
    return ROWS[rows]


def key_of(state: Any, axes: Sequence[str]) -> Key:
    """The values of ``axes``."""
    return tuple(AXES[name].of(state) for name in axes)


def told_key(run: Told, axes: Sequence[str]) -> Key:
    """As ``key_of``, comparable with it through ``tell``: of a run without a state the parameters are not known."""
    return tuple(_told(name, AXES[name].of(run)) for name in axes)


def tell(key: Key, axes: Sequence[str]) -> Key:
    """A key of states without what runs do not know."""
    return tuple(_told(name, value) for name, value in zip(axes, key, strict=True))


def _told(name: str, value: Any) -> Any:
    return value[0] if name == "size" else value


def group_by_cell(states: Iterable[State], freed: Collection[str]) -> dict[Cell, list[State]]:
    """The states of every cell; a domain whose states vary in nothing but ``freed`` axes is in one."""
    fixed = [name for name in AXES if name not in freed]
    cells: dict[Cell, list[State]] = defaultdict(list)
    for state in states:
        cells[Cell(tuple(zip(fixed, key_of(state, fixed), strict=True)))].append(state)
    return dict(cells)


def rank_cells(cells: Mapping[Cell, Sequence[State]], freed: Sequence[str]) -> list[Choice]:
    """The cells there are, the one that fills most of a matrix first; ties as ``RANKED`` says."""

    def choice(cell: Cell) -> Choice:
        states = cells[cell]
        pairs = {(key_of(state, freed), state.eval_set) for state in states}
        return Choice(cell, len({row for row, _ in pairs}), len(pairs), len({state.run_id for state in states}))

    def rank(one: Choice) -> tuple[float, ...]:
        fixed = dict(one.cell.values)
        preferred = (float(AXES[name].rank(fixed[name])) for name in RANKED if name in fixed)
        return (one.n_pairs, *preferred, one.n_runs)

    return sorted(sorted(map(choice, cells), key=lambda one: one.cell.text(SELDOM)), key=rank, reverse=True)


def varying_axes(keys: Collection[Key], axes: Sequence[str]) -> tuple[str, ...]:
    """The axes in which keys differ."""
    return tuple(name for place, name in enumerate(axes) if len({key[place] for key in keys}) > 1)


def varying_words(
    choices: Sequence[Choice],
    cell: Cell,
    tokenizers: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> str:
    """A cell in words that tell it apart from the other choices; bases and recipes only where others do not."""
    names = [name for name, _ in cell.values]
    varying = varying_axes([tuple(value for _, value in one.cell.values) for one in choices], names)
    short = [name for name in varying if name not in LAST_RESORT]
    apart = len({one.cell.text(short, tokenizers) for one in choices}) == len(choices)
    return cell.text(short if apart else varying, tokenizers, without)


def words_of(name: str, value: Any, tokenizers: Mapping[str, str] | None = None) -> str:
    """A value in words; a tokenizer by what ``tokenizers`` call it."""
    if name == "tokenizer" and tokenizers and value in tokenizers:
        return f"tokenizer {tokenizers[value]}"
    return AXES[name].words(value)


def label_rows(
    keys: Collection[Key], axes: Sequence[str], tokenizers: Mapping[str, str] | None = None
) -> dict[Key, str]:
    """A head for every row: the words of the axes in which rows differ, of the first axis where none does.

    Recipes and bases are told only where rows would bear one name without.
    """
    varying = varying_axes(keys, axes)
    shown: Sequence[str] = [name for name in varying if name not in LAST_RESORT] or axes[:1]
    labels = _label_rows(keys, axes, shown, tokenizers)
    if len(set(labels.values())) < len(labels):
        labels = _label_rows(keys, axes, varying, tokenizers)
    return labels


def _label_rows(
    keys: Collection[Key], axes: Sequence[str], shown: Sequence[str], tokenizers: Mapping[str, str] | None
) -> dict[Key, str]:
    def words(key: Key) -> str:
        values = dict(zip(axes, key, strict=True))
        plain = {"variant", "newlines", "alpha"} & set(shown) if len(shown) > 1 else set()
        parts = [
            PLAIN_WORDS[name](values[name]) if name in PLAIN_WORDS else words_of(name, values[name], tokenizers)
            for name in shown
            if name not in plain
        ]
        # Beside others a plain value goes without saying.
        parts = [AXES[name].words(values[name]) for name in shown if name in plain] + parts
        return ", ".join(part for part in parts if part) or PLAIN

    return {key: words(key) for key in keys}
