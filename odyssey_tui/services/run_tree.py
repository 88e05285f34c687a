"""The runs as a tree: groups, in them runs; those that differ in their seed alone under a heading with their means."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from odyssey_tui.services.format import STATE_GLYPHS
from odyssey_tui.services.runs import RunRow

AVERAGED = ("loss", "delta_target", "delta_base", "bits", "delta_bits", "delta_base_bits")
_AVERAGED_OF = attrgetter(*AVERAGED)
SEED_SUFFIX = re.compile(r"[-_ ]?(seed|s)[-_=]?\d+$")
SEEDS_PREFIX = "seeds:"
MIXED = "mixed"
"""The state of runs that are not in one state."""
ENDED = ("done", "failed", "cancelled", "lost")


@dataclass(frozen=True)
class RunUnit:
    """A run, or runs that differ in their seed alone. What they have in common is found when somebody asks."""

    key: str
    rows: tuple[RunRow, ...]

    @property
    def repeated(self) -> bool:
        """Whether there are several seeds."""
        return len(self.rows) > 1

    @cached_property
    def name(self) -> str:
        """What the names have in common."""
        return common_name([row.name for row in self.rows]) if self.repeated else self.rows[0].name

    @property
    def row(self) -> RunRow:
        """What stands for them: of several the means, and what they have in common."""
        return self._joined[0]

    @property
    def spread(self) -> Mapping[str, float]:
        """Standard deviations (n - 1) over the runs, by field; empty where fewer than two have a value."""
        return self._joined[1]

    @cached_property
    def _joined(self) -> tuple[RunRow, Mapping[str, float]]:
        return (_join(self), _spread(self.rows)) if self.repeated else (self.rows[0], {})


class TreeLine(NamedTuple):
    """A line of the tree as a table shows it: a group's heading, a unit, or one run of a unit that is unfolded."""

    key: str
    group: int
    """Index of the group."""
    unit: RunUnit | None
    """None on a group's heading."""
    row: RunRow | None
    """None on a heading, of a group or of several seeds."""


def join_seeds(rows: Sequence[RunRow]) -> tuple[RunUnit, ...]:
    """Runs, those that differ in their seed alone joined at the place of the first. Runs without a seed stay alone."""
    joined: dict[str, list[RunRow]] = {}
    for row in rows:
        key = row.run_id if row.seed is None or row.seed_key is None else row.seed_key
        joined.setdefault(key, []).append(row)
    units: list[RunUnit] = []
    for key, members in joined.items():
        if len({row.seed for row in members}) > 1:
            units.append(RunUnit(f"{SEEDS_PREFIX}{key}", tuple(members)))
        else:
            units += [RunUnit(row.run_id, (row,)) for row in members]
    return tuple(units)


def _join(unit: RunUnit) -> RunRow:
    rows = unit.rows
    means = {name: math.fsum(found) / len(found) if found else None for name, found in _averaged(rows)}
    etas = [row.eta_s for row in rows if row.eta_s is not None]
    states = {row.state for row in rows}
    return rows[0]._replace(
        run_id=unit.key,
        name=unit.name,
        state=states.pop() if len(states) == 1 else MIXED,
        seed=None,
        share=math.fsum(row.share or 0.0 for row in rows) / len(rows),
        eta_s=max(etas) if etas else None,
        phase="",
        reason="",
        tags=tuple(sorted(set.intersection(*(set(row.tags) for row in rows)))),
        pinned=all(row.pinned for row in rows),
        n_notes=sum(row.n_notes for row in rows),
        **means,
    )


def _spread(rows: Sequence[RunRow]) -> dict[str, float]:
    spread = {}
    for name, found in _averaged(rows):
        if len(found) > 1:
            mean = math.fsum(found) / len(found)
            spread[name] = math.sqrt(math.fsum([(value - mean) ** 2 for value in found]) / (len(found) - 1))
    return spread


def _averaged(rows: Sequence[RunRow]) -> Iterator[tuple[str, list[float]]]:
    """The values of each field that is averaged, as far as they are known and finite."""
    for name, values in zip(AVERAGED, zip(*map(_AVERAGED_OF, rows), strict=True), strict=True):
        yield name, [value for value in values if value is not None and math.isfinite(value)]


def common_name(names: Sequence[str]) -> str:
    """What names have in common but for the seed at their end; the first name where that is nothing."""
    bare = {SEED_SUFFIX.sub("", name) for name in names}
    return bare.pop() or names[0] if len(bare) == 1 else min(names, key=len)


def name_seed(unit: RunUnit, row: RunRow) -> str:
    """One of several seeds below their heading: what tells it from the others; its name where that is another one."""
    return f"seed {row.seed:g}" if row.seed is not None and row.name.startswith(unit.name) else row.name


def count_states(rows: Sequence[RunRow], *, done: bool = True) -> str:
    """``▶2 ✗1``: how many runs are in which state; ``done``: those that are done, too."""
    counts = Counter(row.state for row in rows)
    shown = [state for state in STATE_GLYPHS if counts[state] and (done or state != "done")]
    return " ".join(f"{STATE_GLYPHS[state]}{counts[state]}" for state in shown)


def lay_lines(
    groups: Sequence[tuple[str, Sequence[RunUnit]]],
    *,
    headed: bool,
    is_group_folded: Callable[[int], bool],
    is_unit_folded: Callable[[RunUnit], bool],
) -> Iterator[TreeLine]:
    """The lines of a tree from the top. ``groups``: keys of headings and their units; ``headed``: with headings."""
    for index, (key, units) in enumerate(groups):
        if headed:
            yield TreeLine(key, index, None, None)
            if is_group_folded(index):
                continue
        for unit in units:
            if not unit.repeated:
                yield TreeLine(unit.key, index, unit, unit.row)
                continue
            yield TreeLine(unit.key, index, unit, None)
            if not is_unit_folded(unit):
                yield from (TreeLine(row.run_id, index, unit, row) for row in unit.rows)
