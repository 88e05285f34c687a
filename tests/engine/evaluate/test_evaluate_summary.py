"""Sums of per-token losses, and M2D2's other mean beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.evaluate.summary import Summary
from engine.spec.run import Scheme

NAN = float("nan")
LOSSES = np.array([NAN, 1.0, 2.0, 3.0, NAN, 5.0, 6.0, 7.0, NAN, 9.0], np.float32)
SIZES = np.array([9, 1, 2, 3, 9, 1, 2, 3, 9, 1])


def test_predictions_are_counted() -> None:
    summary = Summary.of(LOSSES, SIZES, Scheme(kind="blocks", window=4))
    assert (summary.tokens, summary.predicted, summary.n_bytes) == (10, 7, 13)
    assert summary.sum_loss == 33
    assert summary.perplexity == pytest.approx(math.exp(33 / 7))
    assert summary.bits_per_byte == pytest.approx(33 / math.log(2) / 13)


def test_m2d2s_script_weights_means_by_the_length_of_the_window() -> None:
    summary = Summary.of(LOSSES, SIZES, Scheme(kind="blocks", window=4))
    assert summary.script_loss == pytest.approx((2 * 4 + 6 * 4 + 9 * 2) / 10)
    assert summary.script_loss != pytest.approx(summary.loss)
    assert summary.script_perplexity == pytest.approx(math.exp(5.0))


def test_a_last_window_of_one_token_has_no_mean() -> None:
    summary = Summary.of(LOSSES[:9], SIZES[:9], Scheme(kind="blocks", window=4))
    assert summary.script_loss == pytest.approx((2 * 4 + 6 * 4) / 8)


@pytest.mark.parametrize("scheme", [Scheme(kind="blocks", window=4, bos=True), Scheme(kind="rolling", window=4)])
def test_other_schemes_have_no_such_value(scheme: Scheme) -> None:
    assert math.isnan(Summary.of(LOSSES, SIZES, scheme).script_loss)


def test_two_texts_add_up_to_their_sums_not_to_the_mean_of_means() -> None:
    scheme = Scheme(kind="blocks", window=4)
    both = Summary.of(LOSSES[:4], SIZES[:4], scheme) + Summary.of(LOSSES[4:], SIZES[4:], scheme)
    assert both == Summary.of(LOSSES, SIZES, scheme)


def test_nothing_predicted() -> None:
    summary = Summary.of(LOSSES[:1], SIZES[:1], Scheme(window=4))
    assert summary.predicted == 0
    assert math.isnan(summary.loss)
    assert math.isnan(summary.perplexity)
    assert math.isnan(summary.bits_per_byte)
    assert math.isnan(summary.script_loss)


def test_a_perplexity_beyond_all_numbers_is_infinite() -> None:
    assert Summary.of(np.array([NAN, 1e4], np.float32), SIZES[:2], Scheme(window=4)).perplexity == math.inf
