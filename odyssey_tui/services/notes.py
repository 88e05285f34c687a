"""Tags, notes and pins of runs, as screens change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odyssey_tui.services.runs import RunRow
    from store.workspace import Workspace


def common_tags(rows: Sequence[RunRow]) -> tuple[str, ...]:
    """The tags that all of the runs have, by name."""
    return tuple(sorted(set.intersection(*(set(row.tags) for row in rows)))) if rows else ()


def change_tags(workspace: Workspace, rows: Sequence[RunRow], text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the runs the tags of ``text`` (words) and take from them what they had in common and is not there any more.

    Returns the tags given and the tags taken.
    """
    from store import notes

    run_ids = [row.run_id for row in rows]
    before, wanted = common_tags(rows), tuple(dict.fromkeys(text.replace(",", " ").split()))
    given = tuple(name for name in wanted if name not in before)
    taken = tuple(name for name in before if name not in wanted)
    for name in given:
        notes.tag(workspace, run_ids, name)
    for name in taken:
        notes.untag(workspace, run_ids, name)
    return given, taken


def write_note(workspace: Workspace, run_ids: Sequence[str], text: str) -> None:
    """Write a note on runs. DataError when it is empty."""
    from store import notes

    notes.note(workspace, run_ids, text)


def turn_pins(workspace: Workspace, rows: Sequence[RunRow]) -> bool:
    """Pin the runs; let go of them when all are pinned. Returns whether they are pinned now."""
    from store import notes

    pinned = not all(row.pinned for row in rows)
    (notes.pin if pinned else notes.unpin)(workspace, [row.run_id for row in rows])
    return pinned
