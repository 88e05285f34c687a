"""Leak-free splits: whole groups go to train, valid or test, by hash, with shares counted in bytes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.data.sources.base import Split, hash_order

FULL_ENOUGH = 0.85
"""Share of the wanted bytes at which a split is closed: filling it to the brim would collect the smallest groups."""


def assign_splits(
    group_bytes: Mapping[str, int], *, test_share: float, valid_share: float, seed: int
) -> dict[str, Split]:
    """The split of each group.

    Groups are taken in the order of a hash of (seed, name), so the choice says nothing about their content. Test is
    filled first, then valid: a group joins when that brings the share nearer to the wanted one. A wanted split gets
    at least one group (the smallest, if each alone overshoots) as long as train keeps one.
    """
    order = sorted(group_bytes, key=lambda group: hash_order(f"{seed}:{group}"))
    total = sum(group_bytes.values())
    splits: dict[str, Split] = dict.fromkeys(order, "train")
    for split, share in (("test", test_share), ("valid", valid_share)):
        left = [group for group in order if splits[group] == "train"]
        for group in _fill(left, group_bytes, share * total):
            splits[group] = split
    return splits


def choose_part(sizes: Mapping[str, int], number: int, parts: int) -> set[str]:
    """The units (groups or documents) of part ``number`` of ``parts`` (from 1), of about the same bytes each.

    In the order of a hash that has nothing to do with ``assign_splits``, each unit joins the part that holds least.
    """
    held = [0] * parts
    chosen = set()
    for unit in sorted(sizes, key=lambda unit: hash_order(f"part:{unit}")):
        part = held.index(min(held))
        held[part] += sizes[unit]
        if part == number - 1:
            chosen.add(unit)
    return chosen


def cut_points(text: str, *, test_share: float, valid_share: float) -> tuple[int, int]:
    """Where to cut one document into train, valid and test: two character positions, each after a line end if any."""
    valid_at = _line_end(text, round(len(text) * (1 - test_share - valid_share)))
    test_at = _line_end(text, round(len(text) * (1 - test_share)))
    return valid_at, max(valid_at, test_at)


def _fill(order: list[str], group_bytes: Mapping[str, int], wanted: float) -> list[str]:
    if wanted <= 0 or len(order) < 2:
        return []
    chosen: list[str] = []
    held = 0
    for group in order[: len(order) - 1]:
        if held >= FULL_ENOUGH * wanted:
            break
        if group_bytes[group] <= 2 * (wanted - held):
            chosen.append(group)
            held += group_bytes[group]
    return chosen or [min(order, key=lambda group: group_bytes[group])]


def _line_end(text: str, position: int) -> int:
    before = text.rfind("\n", 0, position)
    if before >= 0:
        return before + 1
    after = text.find("\n", position)
    return position if after < 0 else after + 1
