"""The ledger's definitions against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.stats import MeanDifference
from odyssey_tui.services.format import perplexity
from odyssey_tui.services.ledger import CLASSES, Ledger, visible
from store.errors import ConfigError

NO_INTERVAL = MeanDifference(None, None, None, 0)


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
        NO_INTERVAL,
    )


texts = st.lists(st.tuples(st.integers(0, 12), st.floats(0, 12), st.floats(0, 12)), min_size=1, max_size=60)


@given(texts)
def test_contributions_add_up_to_the_change(text: list[tuple[int, float, float]]) -> None:
    tokens, before, after = map(list, zip(*text, strict=True))
    ledger = make_ledger(tokens, before, after)
    delta = (sum(after) - sum(before)) / len(tokens)
    assert ledger.delta == pytest.approx(delta, abs=1e-9)
    assert sum(row.contribution for row in ledger.rows()) == pytest.approx(delta, abs=1e-9)
    assert sum(row.contribution for row in ledger.class_rows()) == pytest.approx(delta, abs=1e-9)
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


def test_masks_are_classes_tokens_and_ids() -> None:
    ledger = make_ledger([0, 8, 3], [1, 1, 1], [2, 2, 2])
    assert ledger.resolve_masks(["newline"]) == {0, 8}
    assert ledger.resolve_masks(["t3", "#8"]) == {3, 8}
    with pytest.raises(ConfigError, match="newlin") as error:
        ledger.resolve_masks(["newlin"])
    assert "newline" in error.value.hint


def test_spaces_at_the_ends_of_a_token_are_visible() -> None:
    assert [visible(text) for text in (" the", "the", "  ", "a b ", "\\n")] == ["␣the", "the", "␣␣", "a b␣", "\\n"]
