"""Which adapted states may stand in one scatter: one model, adapted in one way, one mean per domain over its seeds."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import count

if TYPE_CHECKING:
    from store.queries.domain_facts import BaseState, Recipe
    from store.queries.points import AdaptationPoint
    from store.queries.tokenizers import ScoredText

DIGITS = 3
"""PTPP and ATPP are compared to this many digits: whole sequences make budgets differ in the fourth."""
ENOUGH = 3
"""Domains from which on there is a correlation."""
BOOKKEEPING = frozenset(
    (
        "log_every",
        "validate_every",
        "validate_tokens",
        "checkpoint_every_s",
        "activation_checkpointing",
        "compile",
        "attention",
        "sharding",
        "save",
    )
)
"""Keys of a training or method that change no result."""
NAMED = frozenset(("lr", "rank", "name"))
"""Keys of an adaptation that a cell names itself."""
REPLAYED = "replay of"
SHORT_NAME, SHORT_ID = 16, 8


@dataclass(frozen=True)
class Cell:
    """What the points of one scatter have in common; None where it is unknown (PTPP of a published model)."""

    method: str | None
    size: str | None
    n_params: int | None
    ptpp: float | None
    replay_ratio: float | None
    atpp: float
    base: str = ""
    """A published model, or the corpora that a base was pretrained on."""
    lr: float | None = None
    rank: int | None = None
    variant: str | None = None
    newlines: str = "keep"
    tokenizer_id: str | None = None
    tokenizer: str = ""
    """Its name, where it has a short one, else the beginning of its identifier."""
    details: tuple[tuple[str, str], ...] = ()
    """Whatever else of a recipe differs among the runs at hand: key and value."""

    @property
    def parts(self) -> dict[str, str]:
        """What a cell is called by, by what it is about; the important first."""
        size = f"size {self.size}" if self.size else f"{self.n_params:,} parameters" if self.n_params else ""
        size = "" if self.size and self.size == self.base else size
        known = {
            "base": f"from {self.base}" if self.base else "",
            "size": size,
            "ptpp": f"PTPP {self.ptpp:g}" if self.ptpp is not None else "",
            "replay": f"replay {self.replay_ratio:g}" if self.replay_ratio is not None else "",
            "atpp": f"ATPP {self.atpp:g}",
            "method": self.method or "",
            "variant": self.variant or "",
            "newlines": "newlines stripped" if self.newlines == "strip" else "",
            "rank": f"rank {self.rank}" if self.rank is not None else "",
            "lr": f"lr {self.lr:g}" if self.lr is not None else "",
            **{key: f"{key} {value}" for key, value in self.details},
            "tokenizer": f"tokenizer {self.tokenizer}" if self.tokenizer else "",
        }
        return {key: text for key, text in known.items() if text}

    @property
    def text(self) -> str:
        """``size s, PTPP 16, replay 0.1, ATPP 4, full``: what it is by itself."""
        told = {"size", "ptpp", "replay", "atpp", "method", "variant", "newlines"}
        told |= set() if self.size and self.size != self.base else {"base"}
        return ", ".join(text for key, text in self.parts.items() if key in told)

    @property
    def model(self) -> Cell:
        """The cell whatever the budget: all that is adapted in one way from one state."""
        return replace(self, atpp=0.0)

    @property
    def is_plain(self) -> bool:
        """Full fine-tuning without a variant, on the text as it is."""
        return self.method in ("full", None) and self.variant is None and self.newlines == "keep"


@dataclass(frozen=True)
class Wanted:
    """What the user asks of the cell; None leaves the choice open."""

    size: str | None = None
    ptpp: float | None = None
    method: str | None = None
    replay_ratio: float | None = None
    atpp: float | None = None
    variant: str | None = None
    newlines: str | None = None
    lr: float | None = None
    base: str | None = None
    cell: Cell | None = None
    """This cell and no other, as long as it is there."""

    def admits(self, cell: Cell) -> bool:
        """Whether a cell has every property asked for."""
        budgets = ((self.ptpp, cell.ptpp), (self.atpp, cell.atpp), (self.lr, cell.lr))
        others = ("size", "method", "replay_ratio", "variant", "newlines", "base")
        asked = [(getattr(self, name), getattr(cell, name)) for name in others]
        same_budgets = all(w is None or (has is not None and rounded(w) == rounded(has)) for w, has in budgets)
        return same_budgets and all(w is None or w == has for w, has in asked)


@dataclass(frozen=True)
class Surroundings:
    """What is known of runs and states besides their losses, by identifier; empty where nothing is."""

    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    bases: Mapping[str, BaseState] = field(default_factory=dict)
    texts: Mapping[str, ScoredText] = field(default_factory=dict)
    """By evaluation set."""
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    """What each is, in words."""

    def tokenizer_of(self, point: AdaptationPoint) -> str | None:
        """The tokenizer of a point's losses; None where nobody recorded it."""
        text = self.texts.get(point.eval_set_id or "")
        return None if text is None else text.tokenizer_id


def rounded(value: float) -> float:
    """A budget to ``DIGITS`` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def cell_of(point: AdaptationPoint) -> Cell:
    """The cell an adapted state belongs to, by its own properties."""
    ptpp = None if point.ptpp is None else rounded(point.ptpp)
    return Cell(
        point.method,
        point.size,
        point.n_params,
        ptpp,
        point.replay_ratio,
        rounded(point.atpp),
        lr=point.lr,
        rank=point.rank,
        variant=point.variant,
        newlines=point.newlines,
    )


def group_by_cell(
    points: Iterable[AdaptationPoint], around: Surroundings | None = None
) -> dict[Cell, list[AdaptationPoint]]:
    """The points of every cell. Seeds of one recipe share a cell; two recipes that no label tells apart do not."""
    found, around = list(points), around or Surroundings()
    flat = {owner: flatten(around.recipes.get(owner), NAMED) for owner in {point.owner for point in found}}
    differing = find_differing(flat.values())
    bases = describe_bases(around)
    cells: dict[Cell, list[AdaptationPoint]] = defaultdict(list)
    for point in found:
        base, pretraining = bases.get(point.base_model_id, ("", ()))
        skipped = () if point.replay_ratio else (REPLAYED,)
        own = tuple((key, flat[point.owner][key]) for key in differing if key in flat[point.owner].keys() - skipped)
        cell = replace(
            cell_of(point),
            base=base,
            tokenizer_id=around.tokenizer_of(point),
            tokenizer=short_name(around, around.tokenizer_of(point)),
            details=(*own, *pretraining),
        )
        cells[cell].append(point)
    return dict(cells)


def short_name(around: Surroundings, tokenizer_id: str | None) -> str:
    """A tokenizer's published name, else the beginning of its identifier."""
    name = around.tokenizers.get(tokenizer_id or "", "").partition(",")[0]
    published = bool(name) and len(name) <= SHORT_NAME and " " not in name
    return name if published else (tokenizer_id or "")[:SHORT_ID]


def flatten(recipe: Recipe | None, named: Collection[str] = ()) -> dict[str, str]:
    """The keys of a recipe that may change a result, without those ``named`` elsewhere, and their values as text."""
    if recipe is None:
        return {}
    of_method = {} if recipe.method.get("name") == "full" else recipe.method
    merged = {**recipe.training, **of_method, REPLAYED: list(recipe.corpora)}
    return {key: short_json(value) for key, value in merged.items() if key not in BOOKKEEPING and key not in named}


def find_differing(recipes: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The keys that are not the same in all recipes that have them: one that came later says nothing of older runs."""
    values: dict[str, set[str]] = defaultdict(set)
    for recipe in recipes:
        for key, value in recipe.items():
            values[key].add(value)
    return tuple(key for key, seen in values.items() if len(seen) > 1)


def short_json(value: Any) -> str:
    """A value of a recipe in a few characters: lists by commas, objects by their values."""
    if isinstance(value, Mapping):
        return " ".join(f"{key}={short_json(item)}" for key, item in value.items() if item not in (None, [], ()))
    if isinstance(value, list):
        return "+".join(map(short_json, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def describe_bases(around: Surroundings) -> dict[str, tuple[str, tuple[tuple[str, str], ...]]]:
    """What each base state is called, whatever its seed and size, and how its pretraining differs from others'."""
    flat = {base.run_id: flatten(around.recipes.get(base.run_id)) for base in around.bases.values() if base.run_id}
    differing = [key for key in find_differing(flat.values()) if key != REPLAYED]
    described = {}
    for model_id, base in around.bases.items():
        if base.run_id is None:
            described[model_id] = (base.source or model_id.rpartition("@")[0], ())
            continue
        own = flat[base.run_id]
        details = tuple((f"pretraining {key}", own[key]) for key in differing if key in own)
        described[model_id] = (own.get(REPLAYED, ""), details)
    return described


def is_whole(point: AdaptationPoint) -> bool:
    """Whether there is a change of loss: both losses are known and finite (stored ones that are not are None)."""
    return point.delta is not None and math.isfinite(point.delta)


def coverage(points: Iterable[AdaptationPoint], domains: Iterable[str]) -> int:
    """How many of ``domains`` have a point."""
    return len({point.domain for point in points if is_whole(point)} & set(domains))


def choose_cell(cells: Mapping[Cell, Sequence[AdaptationPoint]], domains: Sequence[str], wanted: Wanted) -> Cell | None:
    """The admitted cell to begin with: one with enough domains for a correlation, plain fine-tuning before variants,
    then the one that holds the most of ``domains``.

    Ties go to more adaptation, then the larger model, then more pretraining, then less replay.
    """
    if wanted.cell in cells:
        return wanted.cell
    admitted = [cell for cell in cells if wanted.admits(cell)]
    return max(admitted, key=lambda cell: preference(cell, coverage(cells[cell], domains)), default=None)


def preference(cell: Cell, covered: int) -> tuple[float, ...]:
    """Sort key: more is preferred."""
    less_replay = -(cell.replay_ratio or 0.0)
    size = (cell.atpp, cell.n_params or 0, cell.ptpp or 0.0, less_replay)
    return (covered >= ENOUGH, cell.is_plain, covered, *size, -(cell.lr or 0.0))


def list_models(
    cells: Mapping[Cell, Sequence[AdaptationPoint]], domains: Sequence[str], wanted: Wanted
) -> tuple[Cell, ...]:
    """One cell for each admitted model, at the budget that most domains share: those with enough domains for a
    correlation, all if none has. In the order in which keys step through them."""
    best: dict[Cell, Cell] = {}
    for cell in cells:
        if wanted.admits(cell):
            known = best.setdefault(cell.model, cell)
            best[cell.model] = max(known, cell, key=lambda one: preference(one, coverage(cells[one], domains)))
    enough = [cell for cell in best.values() if coverage(cells[cell], domains) >= ENOUGH]
    return tuple(sorted(enough or best.values(), key=order_of))


def order_of(cell: Cell) -> tuple[object, ...]:
    """Sort key: small before large, little pretraining before much, plain before adapters and variants."""
    return (
        cell.base,
        cell.n_params or 0,
        cell.size or "",
        cell.ptpp or 0.0,
        cell.method not in ("full", None),
        cell.method or "",
        cell.rank or 0,
        cell.lr or 0.0,
        cell.variant or "",
        cell.newlines,
        cell.replay_ratio or 0.0,
        cell.details,
        cell.tokenizer_id or "",
        cell.atpp,
    )


def name_cells(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Each cell by what tells it apart from the others; a cell alone by its size or base.

    Size, PTPP, replay, ATPP, method, variant and newlines are named where they differ; what else does, only as long as
    two cells would bear one name.
    """
    parts = {cell: cell.parts for cell in cells}
    keys = list(dict.fromkeys(key for own in parts.values() for key in own))
    differing = [key for key in keys if len({own.get(key, "") for own in parts.values()}) > 1]
    main = ("base", "size", "ptpp", "replay", "atpp", "method", "variant", "newlines")
    chosen = [key for key in differing if key in main]
    # Sizes of one ladder differ in their base's name only where they differ in size as well.
    for key in (key for key in differing if key not in main):
        if len({name_by(own, chosen) for own in parts.values()}) == len(cells):
            break
        chosen.append(key)
    plain = {cell: name_by(own, chosen) for cell, own in parts.items()}
    return {cell: name or own_name(cell) for cell, name in plain.items()}


def name_by(parts: Mapping[str, str], keys: Sequence[str]) -> str:
    """The parts of these keys, in a cell's own order."""
    return ", ".join(text for key, text in parts.items() if key in keys)


def own_name(cell: Cell) -> str:
    """A cell alone: its size or parameters, or its base."""
    return cell.parts.get("size") or cell.base or (count(cell.n_params) if cell.n_params else "one model")
