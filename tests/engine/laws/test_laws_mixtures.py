"""Critical mixtures: published percentages, known truth, and D-CPT's example."""

from __future__ import annotations

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.mixtures import MixtureLaw, critical_mixture, fit_mixture_law, largest_share

PUBLISHED = {
    "460M": ((0.22524761, 0.26944345, -0.48139982), 0.298),
    "940M": ((0.7520627, 0.13720245, -1.06581937), 0.349),
    "1.6B": ((-2.36384831, -0.15125569, 1.59223649), 0.414),
    "3.1B": ((-2.5368197, -0.42071423, 0.84375368), 0.478),
}
"""CMR (arXiv 2407.17467): parameters in units of 0.2 B tokens, and the critical share at 20 B tokens."""


@pytest.mark.parametrize("size", sorted(PUBLISHED))
def test_published_laws_give_the_published_percentages(size: str) -> None:
    parameters, share = PUBLISHED[size]
    assert MixtureLaw(*parameters).share(20e9) == pytest.approx(share, abs=6e-4)


@pytest.mark.parametrize("size", sorted(PUBLISHED))
def test_a_known_law_is_found_again_with_noise(size: str) -> None:
    truth = MixtureLaw(*PUBLISHED[size][0])
    tokens = np.geomspace(4e9, 60e9, 12)
    exact = fit_mixture_law(tokens, truth.share(tokens))
    np.testing.assert_allclose([exact.a, exact.s, exact.b], PUBLISHED[size][0], rtol=2e-3)
    noisy = truth.share(tokens) + 2e-3 * np.random.default_rng(0).standard_normal(len(tokens))
    assert fit_mixture_law(tokens, noisy).share(20e9) == pytest.approx(truth.share(20e9), abs=4e-3)


def test_three_budgets_are_too_few() -> None:
    with pytest.raises(LawError, match="needs four budgets with a critical mixture, and there are 3"):
        fit_mixture_law([1e9, 2e9, 4e9, 8e9], [0.2, 0.3, 0.35, np.nan])


def test_the_critical_mixture_needs_a_target_loss_that_falls() -> None:
    shares = np.array([0.0, 0.25, 0.5, 1.0])
    base = np.array([2.0, 2.02, 2.08, 2.4])
    assert critical_mixture(shares, base, 3.0 - shares, 2.0, 3.0) == pytest.approx(0.25 + 0.25 * 0.5)
    assert critical_mixture(shares, base, 3.0 - shares, 2.0, 3.0, epsilon=1.0) == 1.0
    assert np.isnan(critical_mixture(shares, base, 3.0 + shares, 2.0, 3.0))
    assert np.isnan(critical_mixture(shares, base + 1, 3.0 - shares, 2.0, 3.0))


def test_published_domain_share_at_a_tolerated_general_loss() -> None:
    """D-CPT's chemistry example (1.8B, 10B tokens): at a tolerated rise of 3 % from 2.8602 the domain share is .924."""
    shares = [0.90, 0.91, 0.92, 0.924, 0.93, 0.94, 1.0]
    general = [2.9052, 2.9193, 2.9376, 2.9445, 2.9644, 2.9848, 3.4667]
    assert largest_share(shares, general, 1.03 * 2.8602) == pytest.approx(0.924, abs=5e-4)
    assert largest_share(shares, general, 4.0) == 1.0
    assert np.isnan(largest_share(shares, general, 2.9))
