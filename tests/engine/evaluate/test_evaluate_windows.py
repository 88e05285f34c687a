"""Windows of every scheme: each token predicted once, none beyond the window, the longest context that is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluate.windows import Window, plan_windows
from engine.spec.run import Scheme
from store.errors import ConfigError


def test_blocks_do_not_predict_their_first_token() -> None:
    assert plan_windows(10, Scheme(kind="blocks", window=4)) == [
        Window(0, 4, 1, 4, False),
        Window(4, 8, 5, 8, False),
        Window(8, 10, 9, 10, False),
    ]


def test_blocks_with_bos_predict_every_token_within_the_window() -> None:
    windows = plan_windows(7, Scheme(kind="blocks", window=4, bos=True))
    assert windows == [Window(0, 3, 0, 3, True), Window(3, 6, 3, 6, True), Window(6, 7, 6, 7, True)]
    assert [(w.length, w.first_row) for w in windows] == [(4, 0), (4, 0), (2, 0)]


def test_strided_windows_predict_what_no_window_before_did() -> None:
    windows = plan_windows(10, Scheme(kind="strided", window=6, stride=3))
    assert windows == [Window(0, 6, 1, 6, False), Window(3, 9, 6, 9, False), Window(6, 10, 9, 10, False)]


def test_rolling_windows_are_those_of_the_harness() -> None:
    windows = plan_windows(10, Scheme(kind="rolling", window=4))
    # lm-evaluation-harness for ten tokens, four at most: inputs [BOS 0 1 2], [3 4 5 6], [5 6 7 8].
    assert windows == [Window(0, 3, 0, 4, True), Window(3, 7, 4, 8, False), Window(5, 9, 8, 10, False)]
    assert [(w.length, w.first_row) for w in windows] == [(4, 0), (4, 0), (4, 2)]


@given(
    n_tokens=st.integers(0, 200),
    window=st.integers(2, 40),
    stride=st.integers(1, 40),
    bos=st.booleans(),
    kind=st.sampled_from(["blocks", "strided", "rolling"]),
)
def test_each_prediction_once(n_tokens: int, window: int, stride: int, bos: bool, kind: str) -> None:
    payload = window - 1 if bos and kind != "rolling" else window
    scheme = Scheme(kind=kind, window=window, stride=min(stride, payload), bos=bos)
    windows = plan_windows(n_tokens, scheme)
    predicted = [token for w in windows for token in range(w.first, w.last)]
    assert len(predicted) == len(set(predicted))
    if bos or kind == "rolling":
        assert predicted == list(range(n_tokens))
    elif kind == "strided" and stride < window:
        assert predicted == list(range(1, n_tokens))
    else:
        assert predicted == [token for token in range(n_tokens) if token % window]
    for w in windows:
        assert w.length <= window
        assert 0 <= w.start <= w.stop <= n_tokens
        # Token t is predicted from the position of token t−1, or from BOS.
        assert w.first == w.last or (w.first_row >= 0 and w.last - 1 - w.start - 1 + w.bos < w.length)


def test_a_stride_longer_than_the_window() -> None:
    with pytest.raises(ConfigError, match="stride 5 is longer than the 4 tokens"):
        plan_windows(10, Scheme(kind="strided", window=4, stride=5))


def test_a_window_of_one_token() -> None:
    with pytest.raises(ConfigError, match="a window of 1 predicts nothing"):
        plan_windows(10, Scheme(kind="blocks", window=1))
