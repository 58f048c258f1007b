"""The Fréchet distance against closed forms and SciPy's matrix square root."""

import math

import numpy as np
import pytest
import scipy.linalg

from mdvae.analysis.frechet import (
    around,
    bootstrap_counts,
    checked_pair,
    frechet,
    frechet_interval,
    moments,
    moments_of,
)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def rotation(generator, f):
    return np.linalg.qr(generator.normal(size=(f, f)))[0]


def covariance(generator, f, ratio=100.0):
    turn = rotation(generator, f)
    return turn @ np.diag(np.geomspace(1.0, ratio, f)) @ turn.T


def by_root(mean_a, cov_a, mean_b, cov_b):
    """The formula as it is published."""
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    return np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * root)


def test_diagonal_covariances(rng):
    mean_a, mean_b = rng.normal(size=(2, 6))
    sd_a, sd_b = rng.uniform(0.1, 3.0, size=(2, 6))
    found = frechet(moments_of(mean_a, np.diag(sd_a**2)), moments_of(mean_b, np.diag(sd_b**2)))
    expected = np.sum((mean_a - mean_b) ** 2) + np.sum((sd_a - sd_b) ** 2)
    assert found == pytest.approx(expected, rel=1e-12)


def test_commuting_covariances_near_and_far(rng):
    """Down to distances far below the rounding of the traces, in which the usual form is lost."""
    turn, mean = rotation(rng, 8), np.zeros(8)
    sds = rng.uniform(0.5, 2.0, size=8)
    for gap in (1.0, 1e-3, 1e-7):
        a = moments_of(mean, turn @ np.diag(sds**2) @ turn.T)
        b = moments_of(mean, turn @ np.diag((sds + gap) ** 2) @ turn.T)
        assert frechet(a, b) == pytest.approx(8 * gap**2, rel=1e-6)


@pytest.mark.parametrize("f", [1, 2, 30])
def test_general_covariances_are_scipys(f, rng):
    mean_a, mean_b = rng.normal(size=(2, f))
    cov_a, cov_b = covariance(rng, f), covariance(rng, f)
    a, b = moments_of(mean_a, cov_a), moments_of(mean_b, cov_b)
    assert frechet(a, b) == pytest.approx(by_root(mean_a, cov_a, mean_b, cov_b), rel=1e-9)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-12)
    turn, shift = rotation(rng, f), rng.normal(size=f)
    turned = [
        moments_of(turn @ mean + shift, turn @ cov @ turn.T)
        for mean, cov in ((mean_a, cov_a), (mean_b, cov_b))
    ]
    assert frechet(*turned) == pytest.approx(frechet(a, b), rel=1e-10)


def test_moments_are_numpys(rng):
    x = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) + 1e6
    found = moments(x)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.factor @ found.factor.T, np.cov(x.T), rtol=1e-8)
    assert found.n == 50
    again = moments_of(found.mean, np.cov(x.T))
    assert again.n is None
    assert frechet(found, again) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize(("n", "m"), [(5, 400), (400, 5), (5, 9), (2, 2), (400, 300)])
def test_sets_of_fewer_samples_than_features(n, m, rng):
    """Against the spectrum of S1^(1/2) S2 S1^(1/2), which any rank has."""
    a, b = rng.normal(size=(n, 20)), 2.0 + 3.0 * rng.normal(size=(m, 20))
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    inner = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0.0)).sum()
    expected = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    expected += np.trace(cov_a) + np.trace(cov_b) - 2.0 * inner
    assert frechet(moments(a), moments(b)) == pytest.approx(expected, rel=1e-6)
    assert frechet(moments(b), moments(a)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [3, 10, 300])
def test_a_set_against_itself(n, rng):
    x = 1e3 + rng.normal(size=(n, 20))
    assert frechet(moments(x), moments(x)) == pytest.approx(0.0, abs=1e-25)
    assert frechet(moments(x), moments(x[::-1])) == pytest.approx(0.0, abs=1e-20)
    found = frechet_interval(x, x, 30, rng)
    assert found.value == pytest.approx(0.0, abs=1e-25)
    assert found.low == 0.0 < found.high
    still = np.ones((n, 3))
    assert frechet_interval(still, still, 5, rng) == (0.0, 0.0, 0.0)


def test_interval_is_that_of_drawn_rows(rng):
    """Weights are rows drawn so often, and the interval is about the value, not the draws."""
    a, b = rng.normal(size=(40, 3)), 1.0 + 2.0 * rng.normal(size=(25, 3))
    found = frechet_interval(a, b, 50, np.random.default_rng(3))
    same = np.random.default_rng(3)
    counts_a, counts_b = bootstrap_counts(40, 25, 50, same)
    draws = []
    for of_a, of_b in zip(counts_a, counts_b, strict=True):
        x, y = np.repeat(a, of_a, axis=0), np.repeat(b, of_b, axis=0)
        draws.append(by_root(x.mean(axis=0), np.cov(x.T), y.mean(axis=0), np.cov(y.T)))
    value = by_root(a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T))
    low, high = np.percentile(draws - np.mean(draws), (2.5, 97.5))
    assert found == pytest.approx((value, value + low, value + high), rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_contain_the_distance(shift, rng):
    """In two dimensions, where the bias of the value is small."""
    inside = 0
    for _ in range(100):
        a, b = rng.normal(size=(2, 60, 2))
        b[:, 0] += shift
        found = frechet_interval(a, b, 50, rng)
        inside += found.low <= shift**2 <= found.high
    assert inside >= 85


def test_counts_are_of_resamples(rng):
    for counts, n in zip(bootstrap_counts(50, 3, 2000, rng), (50, 3), strict=True):
        np.testing.assert_array_equal(counts.sum(axis=1), n)
        np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.12)
        assert counts.max() < n
        # Of three, 3 of 27 resamples are one sample alone; 6 of the other 24 are all three.
        variance = 1 - 1 / 50 if n == 50 else (18 * 2 / 3) / 24
        assert counts.var() == pytest.approx(variance, rel=0.05)
    assert [len(counts) for counts in bootstrap_counts(2, 5, 20, rng)] == [0, 0]


def test_few_draws_give_no_interval(rng):
    a, b = rng.normal(size=(2, 20, 3))
    for rows, draws in ((20, 0), (20, 1), (2, 50)):
        found = frechet_interval(a, b[:rows], draws, rng)
        assert found.value == frechet(moments(a), moments(b[:rows]))
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    assert around(2.0, np.linspace(4.0, 6.0, 401)) == pytest.approx((2.0, 1.05, 2.95))


GOOD = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.zeros(3), GOOD, r"shape \(3,\) are not usable"),
        (np.zeros((1, 2)), GOOD, "n of 2 or more"),
        (GOOD, np.zeros((3, 0)), "f of 1 or more"),
        (GOOD, np.zeros((3, 4)), "sets of 2 and 4 features"),
        (GOOD, np.full((3, 2), np.nan), "not finite"),
        (GOOD, np.full((3, 2), np.inf), "not finite"),
    ],
)
def test_bad_features_are_named(a, b, words):
    with pytest.raises(ValueError, match=words) as error:
        checked_pair(a, b)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mean", "cov", "words"),
    [
        (np.zeros(2), np.eye(3), r"must be \[f\] and \[f, f\]"),
        (np.zeros((2, 1)), np.eye(2), r"must be \[f\] and \[f, f\]"),
        (np.zeros(2), np.full((2, 2), np.nan), "not finite"),
        (np.zeros(2), np.diag([1.0, -0.1]), "eigenvalue -0.1"),
        (np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), "asymmetry 0.5"),
    ],
)
def test_bad_moments_are_named(mean, cov, words):
    with pytest.raises(ValueError, match=words):
        moments_of(mean, cov)


def test_rounding_below_zero_is_clipped():
    found = moments_of(np.zeros(2), np.diag([1.0, -1e-7]))
    np.testing.assert_allclose(found.factor @ found.factor.T, np.diag([1.0, 0.0]), atol=1e-15)


def test_bad_pairs_and_draws(rng):
    with pytest.raises(ValueError, match="Gaussians of 2 and 3 features"):
        frechet(moments_of(np.zeros(2), np.eye(2)), moments_of(np.zeros(3), np.eye(3)))
    with pytest.raises(ValueError, match="draws: -1 is not usable"):
        frechet_interval(GOOD, GOOD, -1, rng)
