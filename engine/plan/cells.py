"""Crossing the axes of adaptation blocks into cells, each one trajectory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from engine.spec.experiment import AdaptBlock, Experiment, PretrainedBase
from engine.spec.methods import takes
from engine.spec.run import Method, Newlines, Training

_KEEPS = ("none", "final", "all")


@dataclass(frozen=True)
class Cell:
    """One adaptation: a base state, a domain, a mixture and a method; its budgets lie along one trajectory.

    Where ``share`` is false, each budget is a cell of its own.
    """

    domain: str
    replay_ratio: float
    ptpp: float | None
    size: str | None
    method: Method
    training: Training
    """With the cell's own rate."""
    seed: int
    atpp: tuple[float, ...]
    adapt_tokens: tuple[int, ...]
    keep: str
    wise_ft: tuple[float, ...] = ()
    share: bool = True
    variant: str | None = None
    newlines: Newlines = "keep"
    """Of the domain's training text."""
    blocks: tuple[int, ...] = ()
    """The adaptation blocks that ask for it, by their place in the experiment."""

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.training.lr

    @property
    def budgets(self) -> tuple[str, tuple[float, ...]]:
        """The kind of the states' names (``atpp`` or ``tokens``) and the budgets."""
        return ("atpp", self.atpp) if self.atpp else ("tokens", self.adapt_tokens)

    @property
    def labels(self) -> dict[str, str | int | float | None]:
        """Axis values to group and filter by."""
        rank = self.method.rank if takes(self.method.name, "rank") else None
        return {
            "domain": self.domain,
            "replay_ratio": self.replay_ratio,
            "ptpp": self.ptpp,
            "size": self.size,
            "method": self.method.name,
            "rank": rank,
            "lr": self.lr,
            "seed": self.seed,
            **({"variant": self.variant} if self.variant else {}),
            **({"newlines": self.newlines} if self.newlines != "keep" else {}),
        }


def cross(experiment: Experiment) -> tuple[Cell, ...]:
    """All cells of all blocks; shared ones that differ in budgets only are one trajectory with all of them."""
    merged: dict[Cell, Cell] = {}
    for index, block in enumerate(experiment.adapt):
        for cell in _cross_block(experiment, block, index):
            bare = replace(cell, keep="", wise_ft=(), replay_ratio=float(cell.replay_ratio), blocks=())
            key = replace(bare, atpp=(0.0,) if cell.atpp else (), adapt_tokens=()) if cell.share else bare
            merged[key] = _merge(merged[key], cell) if key in merged else cell
    return tuple(merged.values())


def _merge(one: Cell, other: Cell) -> Cell:
    return replace(
        one,
        atpp=tuple(sorted({*one.atpp, *other.atpp})),
        adapt_tokens=tuple(sorted({*one.adapt_tokens, *other.adapt_tokens})),
        keep=max(one.keep, other.keep, key=_KEEPS.index),
        wise_ft=tuple(sorted({*one.wise_ft, *other.wise_ft})),
        blocks=tuple(dict.fromkeys((*one.blocks, *other.blocks))),
    )


def _cross_block(experiment: Experiment, block: AdaptBlock, index: int) -> Iterator[Cell]:
    base = experiment.base
    pretrained = isinstance(base, PretrainedBase)
    axes = product(
        block.domain,
        block.size or (tuple(base.sizes) if pretrained else (None,)),
        block.ptpp or (base.ptpp if pretrained else (None,)),
        block.replay_ratio,
        _tuned(experiment, block),
        block.newlines or (None,),
        experiment.seeds,
        _budgets(block),
    )
    for domain, size, ptpp, replay_ratio, (method, training), newlines, seed, (atpp, adapt_tokens) in axes:
        yield Cell(
            domain=domain,
            replay_ratio=replay_ratio,
            ptpp=ptpp,
            size=size,
            method=method,
            training=training,
            seed=seed,
            atpp=atpp,
            adapt_tokens=adapt_tokens,
            keep=block.keep,
            wise_ft=tuple(sorted(block.wise_ft)),
            share=block.share,
            variant=block.variant,
            newlines=newlines or experiment.corpora[domain].newlines,
            blocks=(index,),
        )


def _budgets(block: AdaptBlock) -> list[tuple[tuple[float, ...], tuple[int, ...]]]:
    """ATPP and tokens of each trajectory: all budgets along one, or one each."""
    atpp, adapt_tokens = tuple(sorted(block.atpp)), tuple(sorted(block.adapt_tokens))
    if block.share:
        return [(atpp, adapt_tokens)]
    return [((budget,), ()) for budget in atpp] + [((), (budget,)) for budget in adapt_tokens]


def _tuned(experiment: Experiment, block: AdaptBlock) -> list[tuple[Method, Training]]:
    """Methods with the training at each of their learning rates."""
    training = experiment.training_of(block)
    if training is None:
        return []
    found = []
    for method in dict.fromkeys(_methods(block)):
        rates = block.lr.get(method.name) if isinstance(block.lr, dict) else block.lr
        found += [(method, training.model_copy(update={"lr": rate})) for rate in rates or (training.lr,)]
    return found


def _methods(block: AdaptBlock) -> Iterator[Method]:
    """Method and rank crossed; a method takes only the options it knows."""
    for name, rank in product(block.method, block.rank):
        if name == "full":
            yield Method()
        else:
            options = {option: getattr(block, option) for option in ("alpha", "dropout") if takes(name, option)}
            yield Method(
                name=name,
                **options,
                **({"rank": rank} if takes(name, "rank") else {}),
                target_modules=block.target_modules,
                quantize=block.quantize,
                save=block.save,
            )
