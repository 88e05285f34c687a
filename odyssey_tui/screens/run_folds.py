"""Which parts of the tree of runs are folded, and the lines that leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from odyssey_tui.services.run_tree import TreeLine, lay_lines

if TYPE_CHECKING:
    from odyssey_tui.services.run_groups import RunGroup
    from odyssey_tui.services.run_tree import RunUnit

GROUP_PREFIX = "group:"


class Folds:
    """Kept apart with a filter and without; set when something is first seen, then by the user."""

    def __init__(self) -> None:
        self._folded: dict[tuple[bool, str], bool] = {}

    def is_group_folded(self, group: RunGroup, *, filtered: bool) -> bool:
        """Supporting runs are folded away once all are done, unless they are all there is or were asked for."""
        settled = group.supporting and all(row.state == "done" for row in group.rows)
        return self._folded.setdefault((filtered, group_key(group)), settled and not filtered)

    def is_unit_folded(self, unit: RunUnit, *, filtered: bool) -> bool:
        """Several seeds are one line until they are unfolded."""
        return self._folded.setdefault((filtered, unit.key), True)

    def turn(self, key: str, *, filtered: bool) -> None:
        """Fold what is unfolded, and the other way round."""
        self._folded[filtered, key] = not self._folded.get((filtered, key), False)

    def fold_all(self, groups: Sequence[RunGroup], *, filtered: bool) -> None:
        """Fold every group; unfold them when all are folded."""
        folded = all(self.is_group_folded(group, filtered=filtered) for group in groups)
        for group in groups:
            self._folded[filtered, group_key(group)] = not folded

    def lines(self, groups: Sequence[RunGroup], *, grouped: bool, filtered: bool) -> list[TreeLine]:
        """The lines of the tree from the top; without headings where runs are not grouped."""
        return list(
            lay_lines(
                [(group_key(group), group.units) for group in groups],
                headed=grouped,
                is_group_folded=lambda index: self.is_group_folded(groups[index], filtered=filtered),
                is_unit_folded=lambda unit: self.is_unit_folded(unit, filtered=filtered),
            )
        )


def group_key(group: RunGroup) -> str:
    """What the heading of a group is called in the table."""
    return GROUP_PREFIX + group.name
