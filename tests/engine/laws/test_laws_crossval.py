"""Model choice: stages left out in turn, never those that are held out; AICc by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.laws.crossval import choose_axis, cross_validate, split_folds
from engine.laws.errors import LawError
from engine.laws.fit import FitOptions
from engine.laws.forms import REGISTRY
from engine.laws.points import Points, concatenate
from engine.laws.scores import corrected_aic

QUICK = FitOptions(starts=60, bootstrap=0)


def forms(*names: str) -> list:
    return [REGISTRY[name] for name in names]


def test_the_form_behind_the_points_is_chosen_over_one_blind_to_p(make_sample: Callable[..., Points]) -> None:
    points = make_sample("ptpp_additive", (15.0, 31.0, 62.0), noise=2e-4)
    found = cross_validate(forms("dcpt", "ptpp_additive"), points, QUICK)
    assert found.axis == "ptpp"
    assert found.folds == ("P = 15", "P = 31", "P = 62")
    assert found.best == "ptpp_additive"
    first, second = found.forms
    assert first.scores["mape"] < 0.1 < second.scores["mape"]
    assert first.scores["n"] == len(points)
    assert all(value is not None and value < 0.2 for value in first.by_fold)


def test_what_is_held_out_takes_no_part(make_sample: Callable[..., Points]) -> None:
    points = make_sample("chinchilla", (15.0, 31.0, 62.0))
    poisoned = make_sample("dcpt", (279.0,)).with_split("score")
    with_held_out = concatenate([points, poisoned])
    one, other = (cross_validate(forms("chinchilla"), sample, QUICK) for sample in (points, with_held_out))
    assert one == other


def test_the_axis_follows_from_how_many_values_there_are(make_sample: Callable[..., Points]) -> None:
    assert choose_axis(make_sample("dcpt", (15.0, 31.0, 62.0))) == "ptpp"
    two = make_sample("dcpt", (15.0, 31.0))
    assert choose_axis(two) == "checkpoint"
    folds = split_folds(two, "checkpoint")
    assert len(folds) == 6
    assert sum(int(fold.member.sum()) for fold in folds) == len(two)
    assert not np.any(folds[0].member & folds[1].member)


def test_a_form_that_cannot_predict_a_fold_is_not_judged(make_sample: Callable[..., Points]) -> None:
    """Without either of two PTPP nothing is left to learn the dependence on P from."""
    found = cross_validate(forms("ptpp_additive", "chinchilla"), make_sample("ptpp_additive"), QUICK, "ptpp")
    assert found.best == "chinchilla"
    (refused,) = [choice for choice in found.forms if choice.reason]
    assert refused.form == "ptpp_additive"
    assert refused.by_fold == (None, None)
    assert refused.reason.startswith("without P = 15: ptpp_additive was fitted on too few values of P")
    with pytest.raises(LawError, match="No law could be chosen by leaving out each ptpp in turn; ptpp_additive"):
        cross_validate(forms("ptpp_additive"), make_sample("ptpp_additive"), QUICK, "ptpp").require_best()


def test_one_stage_cannot_be_left_out(make_sample: Callable[..., Points]) -> None:
    with pytest.raises(LawError, match="two values of ptpp at least, and there is 1"):
        cross_validate(forms("dcpt"), make_sample("dcpt", (15.0,)), QUICK, "ptpp")


def test_aicc_by_hand() -> None:
    residuals = np.array([0.1, -0.2, 0.3, -0.2, 0.2, 0.1, -0.1, 0.2])
    scale = np.abs(residuals).mean()
    # Twice the negative log-likelihood of Laplace noise of that scale, and k = 2 + 1 parameters.
    minus_two_log = -2 * np.sum(-np.log(2 * scale) - np.abs(residuals) / scale)
    assert corrected_aic(residuals, 2) == pytest.approx(minus_two_log + 2 * 3 + 2 * 3 * 4 / (8 - 3 - 1))
    assert np.isnan(corrected_aic(residuals[:4], 2))
