"""Off-diagonal covariance of codes, against NumPy's covariance matrix."""

import numpy as np
import pytest

from mdvae.analysis.codes import off_diagonal
from mdvae.analysis.frechet import around, resamples


def by_hand(codes):
    """The upper triangle of the covariance matrix, by loops."""
    covariance = np.cov(codes.T)
    pairs = [covariance[i, j] for i in range(len(covariance)) for j in range(i)]
    return np.mean(np.abs(pairs)), np.mean(pairs)


def some_codes(n=400):
    mix = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.8], [0.0, 0.0, 1.0]])
    return 3.0 + np.random.default_rng(0).standard_normal((n, 3)) @ mix


def test_means_over_pairs_of_latents():
    found = off_diagonal(some_codes(), 0, np.random.default_rng(0))
    assert (found.mean_abs.value, found.mean) == pytest.approx(by_hand(some_codes()))
    assert np.isnan(found.mean_abs.low)
    # Of the mixing: covariances 0.5, -0.8 and 0 x 1 + ... = 0.
    assert found.mean == pytest.approx((0.5 - 0.8) / 3, abs=0.1)
    assert found.mean_abs.value > 4 * abs(found.mean)


def test_the_interval_is_that_of_codes_drawn_anew():
    codes = some_codes()
    found = off_diagonal(codes, 50, np.random.default_rng(1)).mean_abs
    counts = resamples(len(codes), 50, np.random.default_rng(1))
    drawn = [by_hand(np.repeat(codes, own, axis=0))[0] for own in counts]
    assert tuple(found) == pytest.approx(tuple(around(by_hand(codes)[0], np.array(drawn))))
    assert found.low < found.value < found.high


def test_independent_latents_have_what_chance_gives():
    codes = np.random.default_rng(2).standard_normal((2_000, 30))
    found = off_diagonal(codes, 20, np.random.default_rng(0))
    assert found.mean_abs.value == pytest.approx(np.sqrt(2 / (np.pi * 2_000)), rel=0.1)
    assert abs(found.mean) < 0.2 * found.mean_abs.value
    assert found.mean_abs.low >= 0.0


@pytest.mark.parametrize("kappa", [0, 1])
def test_fewer_than_two_latents_have_no_pairs(kappa):
    found = off_diagonal(np.ones((50, kappa)), 10, np.random.default_rng(0))
    assert np.isnan([*found.mean_abs, found.mean]).all()
