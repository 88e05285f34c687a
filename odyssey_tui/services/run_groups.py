"""Runs sorted and put into groups, in each the runs that differ in their seed alone joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.run_tree import RunUnit, join_seeds
from odyssey_tui.services.runs import FIELDS, RunRow, compare_losses

if TYPE_CHECKING:
    from odyssey_tui.services.run_configs import ConfigReader

ADAPTATION, SUPPORTING, PINNED = "adapt", "supporting runs", "★ pinned"
UNGROUPED = "none"


@dataclass(frozen=True)
class RunGroup:
    """Rows that share a key; ``name`` is what they share. ``supporting``: what an experiment's adaptations rest on."""

    name: str
    rows: tuple[RunRow, ...]
    supporting: bool = False
    units: tuple[RunUnit, ...] = ()
    """The rows, those that differ in their seed alone joined."""


SORT_KEYS: Mapping[str, Callable[[RunRow], Any]] = {
    "state": lambda row: row.state,
    "name": lambda row: row.name,
    "loss": lambda row: _last(row.loss),
    "target": lambda row: _last(row.delta_target),
    "base": lambda row: _last(row.delta_base),
}
SORTS = ("plan", *(key for key in SORT_KEYS if key != "name"), "name")
"""``plan`` is the order of the experiments' plans."""
BYTE_SORT_KEYS: Mapping[str, Callable[[RunRow], Any]] = {
    **SORT_KEYS,
    "loss": lambda row: _last(row.bits),
    "target": lambda row: _last(row.delta_bits),
    "base": lambda row: _last(row.delta_base_bits),
}
"""Where tokenizers differ."""


def _last(value: float | None) -> tuple[bool, float]:
    return value is None, value or 0.0


def arrange(
    rows: Sequence[RunRow],
    *,
    sort: str = "plan",
    group: str = "experiment",
    configs: ConfigReader | None = None,
    seeds: bool = True,
) -> tuple[RunGroup, ...]:
    """Rows in groups, groups in the order in which they first appear; ``plan`` keeps the order given.

    Runs of different tokenizers are sorted by bits per byte, joined seeds by their means. An experiment that adapts has
    two groups: its adaptations, and all that they rest on. Pinned runs are a group of their own, which comes first.
    ``group`` may be any key of a configuration that ``configs`` knows. Unless ``seeds`` groups have no units.
    """
    keys = SORT_KEYS if compare_losses(rows).per_token else BYTE_SORT_KEYS
    ordered = sorted(rows, key=keys[sort]) if sort in keys else list(rows)
    adapting = {row.experiment for row in rows if row.kind == ADAPTATION} if group == "experiment" else set()
    pinned = [row for row in ordered if row.pinned]
    groups: dict[tuple[str, bool], list[RunRow]] = {(PINNED, False): pinned} if pinned else {}
    for row in ordered:
        if row.pinned:
            continue
        supporting = row.experiment in adapting and row.kind != ADAPTATION
        groups.setdefault((name_group(row, group, configs), supporting), []).append(row)
    found = []
    for (name, supporting), members in groups.items():
        units = join_seeds(members) if seeds else ()
        if sort in keys:
            units = tuple(sorted(units, key=lambda unit: keys[sort](unit.row)))
        found.append(
            RunGroup(f"{name} · {SUPPORTING}" if supporting else name, tuple(members), supporting, tuple(units))
        )
    return tuple(found)


def name_group(row: RunRow, group: str, configs: ConfigReader | None) -> str:
    """What the row shares with its group, in words."""
    if group == UNGROUPED:
        return ""
    value = row.value(group) if group in FIELDS else configs.values(row.run_id).get(group) if configs else None
    if value is None or value == "":
        return f"no {group}"
    if isinstance(value, float | int):
        return f"{group} {value:g}"
    return str(value) if group in FIELDS else f"{group} {value}"
