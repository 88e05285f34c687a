"""Splits: no group crosses them, shares come near the wanted ones, train is never emptied."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.split import assign_splits, choose_part, cut_points

SIZES = st.lists(st.integers(1, 10_000), min_size=1, max_size=60)
SHARES = st.floats(0.0, 0.3)


@settings(max_examples=150, deadline=None)
@given(SIZES, SHARES, SHARES, st.integers(0, 5))
def test_every_group_has_one_split_and_train_keeps_one(
    sizes: list[int], test_share: float, valid_share: float, seed: int
) -> None:
    groups = {f"g{number}": size for number, size in enumerate(sizes)}
    splits = assign_splits(groups, test_share=test_share, valid_share=valid_share, seed=seed)
    assert set(splits) == set(groups)
    assert "train" in splits.values()
    assert ("test" in splits.values()) == (test_share > 0 and len(groups) > 1)
    assert splits == assign_splits(
        dict(reversed(groups.items())), test_share=test_share, valid_share=valid_share, seed=seed
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(500, 1500), min_size=100, max_size=200), st.integers(0, 100))
def test_shares_are_met_with_many_groups(sizes: list[int], seed: int) -> None:
    groups = {f"g{number}": size for number, size in enumerate(sizes)}
    splits = assign_splits(groups, test_share=0.1, valid_share=0.05, seed=seed)
    total = sum(sizes)
    for split, wanted in (("test", 0.1), ("valid", 0.05)):
        share = sum(size for group, size in groups.items() if splits[group] == split) / total
        assert abs(share - wanted) < 0.03


def test_a_huge_group_stays_in_train() -> None:
    groups = {"huge": 1_000_000, **{f"g{n}": 1000 for n in range(200)}}
    for seed in range(20):
        splits = assign_splits(groups, test_share=0.1, valid_share=0.02, seed=seed)
        assert splits["huge"] == "train"


def test_the_seed_changes_the_split() -> None:
    groups = {f"g{n}": 100 for n in range(50)}
    first, second = (assign_splits(groups, test_share=0.2, valid_share=0.1, seed=seed) for seed in (0, 1))
    assert first != second


def test_a_document_is_cut_at_line_ends() -> None:
    text = "".join(f"line {number}\n" for number in range(100))
    valid_at, test_at = cut_points(text, test_share=0.2, valid_share=0.1)
    assert text[valid_at - 1] == text[test_at - 1] == "\n"
    assert 0.15 < (len(text) - test_at) / len(text) < 0.25
    assert cut_points("no line end at all", test_share=0.5, valid_share=0.0) == (9, 9)


@settings(max_examples=100, deadline=None)
@given(SIZES, st.integers(1, 5))
def test_parts_are_disjoint_cover_everything_and_differ_by_no_more_than_one_unit(sizes: list[int], parts: int) -> None:
    units = {f"u{number}": size for number, size in enumerate(sizes)}
    chosen = [choose_part(units, number, parts) for number in range(1, parts + 1)]
    assert sum(map(len, chosen)) == len(units)
    assert set().union(*chosen) == set(units)
    held = [sum(units[unit] for unit in part) for part in chosen]
    assert max(held) - min(held) <= max(sizes)
    assert chosen[0] == choose_part(dict(reversed(units.items())), 1, parts)
