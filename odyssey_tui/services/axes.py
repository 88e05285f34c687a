"""The axes that sweeps are usually made of: fields of one adaptation block, the seeds, and the name of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.spec.experiment import AdaptBlock, Experiment
from engine.spec.located import KeyPath
from engine.spec.reference import Key, read_keys
from odyssey_tui.services.draft_fields import inherited
from odyssey_tui.services.draft_values import show_value

if TYPE_CHECKING:
    from odyssey_tui.services.draft import Draft

LABELS = {
    "replay_ratio": "ρ replay",
    "domain": "domain",
    "ptpp": "PTPP",
    "size": "size",
    "atpp": "ATPP",
    "method": "method",
    "rank": "rank",
    "lr": "lr",
    "seeds": "seeds",
    "name": "name",
}
OF_THE_EXPERIMENT = ("seeds", "name")
OF_TRAINED_BASES = ("ptpp", "size")


@dataclass(frozen=True)
class Axis:
    """One field: where it is written, what is, and what holds where nothing is."""

    name: str
    label: str
    path: KeyPath
    key: Key
    text: str
    default: str
    offered: bool
    """Whether it means anything for this experiment."""


def list_axes(draft: Draft, block: int) -> tuple[Axis, ...]:
    """The axes of a block; budgets are ``adapt_tokens`` where the block gives those."""
    base = draft.value(("base",))
    existing = isinstance(base, dict) and "model" in base and "sizes" not in base
    in_tokens = draft.value(("adapt", block, "adapt_tokens")) is not None
    found = []
    for name, label in LABELS.items():
        field = "adapt_tokens" if name == "atpp" and in_tokens else name
        path: KeyPath = (name,) if name in OF_THE_EXPERIMENT else ("adapt", block, field)
        key = _key(field)
        found.append(
            Axis(
                name=name,
                label="tokens" if field == "adapt_tokens" else label,
                path=path,
                key=key,
                text=show_value(draft.value(path)),
                default=inherited(draft, path, key),
                offered=not (existing and name in OF_TRAINED_BASES),
            )
        )
    return tuple(found)


def _key(name: str) -> Key:
    model = Experiment if name in OF_THE_EXPERIMENT else AdaptBlock
    return next(key for key in read_keys(model) if key.name == name)
