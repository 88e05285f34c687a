"""The ledger's definitions against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odyssey_tui.services.format import perplexity
from odyssey_tui.services.ledger import CLASSES, Ledger
from store.errors import ConfigError


def make_ledger(tokens: list[int], before: list[float], after: list[float]) -> Ledger:
    """The ledger of a text, token by token."""
    types = sorted(
        set(tokens), key=lambda v: -sum(b - a for t, a, b in zip(tokens, before, after, strict=True) if t == v)
    )
    at = {v: [i for i, token in enumerate(tokens) if token == v] for v in types}
    return Ledger(
        np.array(types),
        tuple(f"t{v}" for v in types),
        tuple(CLASSES[v % len(CLASSES)] for v in types),
        np.array([len(at[v]) for v in types]),
        np.array([sum(before[i] for i in at[v]) for v in types]),
        np.array([sum(after[i] for i in at[v]) for v in types]),
    )


texts = st.lists(st.tuples(st.integers(0, 12), st.floats(0, 12), st.floats(0, 12)), min_size=1, max_size=60)


@given(texts)
def test_contributions_add_up_to_the_change(text: list[tuple[int, float, float]]) -> None:
    tokens, before, after = map(list, zip(*text, strict=True))
    ledger = make_ledger(tokens, before, after)
    delta = (sum(after) - sum(before)) / len(tokens)
    assert ledger.delta == pytest.approx(delta, abs=1e-9)
    assert sum(row.contribution for row in ledger.rows()) == pytest.approx(delta, abs=1e-9)
    assert sum(row.contribution for row in ledger.by_class) == pytest.approx(delta, abs=1e-9)
    assert perplexity(ledger.loss_after) / perplexity(ledger.loss_before) == pytest.approx(math.exp(delta))


@given(texts, st.sets(st.integers(0, 12)))
def test_masked_perplexity_is_the_mean_over_what_is_left(text: list[tuple[int, float, float]], mask: set[int]) -> None:
    tokens, before, after = map(list, zip(*text, strict=True))
    found = make_ledger(tokens, before, after).masked(mask)
    left = [(a, b) for token, a, b in text if token not in mask]
    assert found.predicted == len(left)
    if not left:
        assert math.isnan(found.ppl_after)
        return
    assert found.ppl_before == pytest.approx(math.exp(sum(a for a, _ in left) / len(left)))
    assert found.ppl_after == pytest.approx(math.exp(sum(b for _, b in left) / len(left)))


@given(texts)
def test_k_star_is_the_fewest_types_that_undo_the_rise(text: list[tuple[int, float, float]]) -> None:
    tokens, before, after = map(list, zip(*text, strict=True))
    ledger = make_ledger(tokens, before, after)
    c = ledger.contributions
    k = ledger.k_star
    assert c[k:].sum() <= 1e-9
    assert k == 0 or c[k - 1 :].sum() > -1e-9


def test_share_is_cumulative_and_undefined_when_nothing_rises() -> None:
    ledger = make_ledger([0, 1, 2, 2], [1, 1, 1, 1], [4, 2, 0.5, 0.5])
    assert [row.share for row in ledger.rows()] == pytest.approx([0.75, 1.0, 0.75])
    assert ledger.share(1) == pytest.approx(0.75)
    falling = make_ledger([0, 1], [2, 2], [1, 2])
    assert falling.share(1) is None
    assert [row.share for row in falling.rows()] == [None, None]
    assert falling.k_star == 0


def test_by_hand() -> None:
    # Two newlines (type 0, a "newline") rise by 3 and 1, one of three words (type 5) falls by 2, T = 5.
    ledger = make_ledger([0, 0, 5, 5, 5], [1.0, 2.0, 3.0, 3.0, 3.0], [4.0, 3.0, 1.0, 3.0, 3.0])
    assert ledger.predicted == 5
    assert ledger.contributions.tolist() == pytest.approx([4 / 5, -2 / 5])
    assert ledger.delta == pytest.approx(2 / 5)
    assert [ledger.share(k) for k in (1, 2)] == pytest.approx([1.0, 0.5])
    assert (ledger.n_rising, ledger.k_star) == (1, 1)
    newline, word = ledger.by_class
    assert (newline.token_class, newline.count, newline.contribution) == ("newline", 2, pytest.approx(4 / 5))
    assert (word.token_class, word.loss_before, word.loss_after) == ("word", 3.0, pytest.approx(7 / 3))
    masked = ledger.masked(ledger.types_of("newline"))
    assert masked.predicted == 3
    assert (masked.ppl_before, masked.ppl_after) == pytest.approx((math.exp(3), math.exp(7 / 3)))
    assert masked.delta == pytest.approx(-2 / 3)


def test_masks_are_classes_tokens_and_ids() -> None:
    ledger = make_ledger([0, 8, 3], [1, 1, 1], [2, 2, 2])
    assert ledger.resolve_masks(["newline"]) == {0, 8}
    assert ledger.resolve_masks(["t3", "#8", " newline "]) == {0, 3, 8}
    assert ledger.resolve_masks(["8"]) == {8}
    for wrong, near in (("newlin", "newline"), ("#9", "#ID"), ("t33", "t3")):
        with pytest.raises(ConfigError, match=f"--mask {wrong}: no class") as error:
            ledger.resolve_masks([wrong])
        assert near in error.value.hint


def test_a_token_may_be_written_as_it_is_as_it_is_escaped_and_as_it_is_shown() -> None:
    ledger = Ledger(
        np.array([4, 5, 6]), ("\\n", " the", "12"), ("newline", "function", "digits"), np.ones(3, int), *np.ones((2, 3))
    )
    assert ledger.resolve_masks(["\n"]) == ledger.resolve_masks(["\\n"]) == {4}
    assert ledger.resolve_masks([" the"]) == ledger.resolve_masks(["␣the"]) == {5}
    assert ledger.resolve_masks(["12"]) == {6}


def test_whole_classes_are_told_from_parts() -> None:
    ledger = make_ledger([0, 8, 3], [1, 1, 1], [2, 2, 2])
    assert ledger.classes_in(frozenset({0, 8})) == {"newline"}
    assert ledger.classes_in(frozenset({0, 3, 8})) == {"newline", "digits"}
    assert ledger.classes_in(frozenset({0})) is None
    assert ledger.classes_in(frozenset()) == frozenset()


def test_everything_masked_leaves_nothing() -> None:
    ledger = make_ledger([0, 1], [1, 1], [2, 2])
    masked = ledger.masked({0, 1})
    assert masked.predicted == 0
    assert math.isnan(masked.ppl_before)
