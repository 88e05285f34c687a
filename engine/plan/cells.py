"""Crossing the axes of adaptation blocks into cells, each one trajectory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from engine.spec.experiment import AdaptBlock, Experiment, PretrainedBase
from engine.spec.run import Method

_KEEPS = ("none", "final", "all")


@dataclass(frozen=True)
class Cell:
    """One adaptation: a base state, a domain, a mixture and a method; its budgets lie along one trajectory."""

    domain: str
    replay_ratio: float
    ptpp: float | None
    size: str | None
    method: Method
    lr: float
    seed: int
    atpp: tuple[float, ...]
    adapt_tokens: tuple[int, ...]
    keep: str

    @property
    def labels(self) -> dict[str, str | int | float | None]:
        """Axis values to group and filter by."""
        rank = None if self.method.name == "full" else self.method.rank
        return {
            "domain": self.domain,
            "replay_ratio": self.replay_ratio,
            "ptpp": self.ptpp,
            "size": self.size,
            "method": self.method.name,
            "rank": rank,
            "lr": self.lr,
            "seed": self.seed,
        }


def cross(experiment: Experiment) -> tuple[Cell, ...]:
    """All cells of all blocks; cells that differ in budgets only are one trajectory with all of them."""
    merged: dict[Cell, Cell] = {}
    for block in experiment.adapt:
        for cell in _cross_block(experiment, block):
            bare = replace(cell, atpp=(), adapt_tokens=(), keep="", replay_ratio=float(cell.replay_ratio))
            key = replace(bare, atpp=(0.0,) if cell.atpp else ())
            merged[key] = _merge(merged[key], cell) if key in merged else cell
    return tuple(merged.values())


def _merge(one: Cell, other: Cell) -> Cell:
    return replace(
        one,
        atpp=tuple(sorted({*one.atpp, *other.atpp})),
        adapt_tokens=tuple(sorted({*one.adapt_tokens, *other.adapt_tokens})),
        keep=max(one.keep, other.keep, key=_KEEPS.index),
    )


def _cross_block(experiment: Experiment, block: AdaptBlock) -> Iterator[Cell]:
    base, training = experiment.base, experiment.training
    pretrained = isinstance(base, PretrainedBase)
    axes = product(
        block.domain,
        block.size or (tuple(base.sizes) if pretrained else (None,)),
        block.ptpp or (base.ptpp if pretrained else (None,)),
        block.replay_ratio,
        dict.fromkeys(_methods(block)),
        block.lr or ((training.lr,) if training else ()),
        experiment.seeds,
    )
    for domain, size, ptpp, replay_ratio, method, lr, seed in axes:
        yield Cell(
            domain=domain,
            replay_ratio=replay_ratio,
            ptpp=ptpp,
            size=size,
            method=method,
            lr=lr,
            seed=seed,
            atpp=tuple(sorted(block.atpp)),
            adapt_tokens=tuple(sorted(block.adapt_tokens)),
            keep=block.keep,
        )


def _methods(block: AdaptBlock) -> Iterator[Method]:
    """Method and rank crossed; full fine-tuning has no rank."""
    for name, rank in product(block.method, block.rank):
        if name == "full":
            yield Method()
        else:
            yield Method(
                name=name,
                rank=rank,
                alpha=block.alpha,
                dropout=block.dropout,
                target_modules=block.target_modules,
            )
