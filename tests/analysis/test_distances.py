"""Distances of sets against sums over pairs, closed forms for Gaussians, and SciPy."""

import math

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import cdist, pdist

from mdvae.analysis import distances
from mdvae.analysis.distances import (
    energy_distance,
    kid,
    median_bandwidth,
    mmd,
    precision_recall,
    squared_distances,
)
from mdvae.analysis.frechet import bootstrap_counts
from mdvae.analysis.statistics import NAN

BANDWIDTH = 1.5


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def gaussian_mmd(a, b, draws, generator):
    return mmd(a, b, draws, generator, BANDWIDTH)


KERNELS = {
    kid: lambda x, y: (x @ y.T / x.shape[1] + 1.0) ** 3,
    energy_distance: lambda x, y: -cdist(x, y),
    gaussian_mmd: lambda x, y: np.exp(-cdist(x, y, "sqeuclidean") / (2 * BANDWIDTH**2)),
}
each_statistic = pytest.mark.parametrize("statistic", KERNELS, ids=lambda found: found.__name__)


def over_pairs(kernel, a, b, of_a=None, of_b=None):
    """The statistic of resamples, as sums over pairs of their members.

    Args:
        of_a, of_b: the samples that are in each resample, with repeats.
    """
    of_a = np.arange(len(a)) if of_a is None else of_a
    of_b = np.arange(len(b)) if of_b is None else of_b

    def within(x, members):
        different = members[:, None] != members
        return kernel(x[members], x[members])[different].mean()

    return within(a, of_a) + within(b, of_b) - 2 * kernel(a[of_a], b[of_b]).mean()


@each_statistic
@pytest.mark.parametrize("tile", [1024, 7])
def test_values_and_draws_are_sums_over_pairs(statistic, tile, rng, monkeypatch):
    monkeypatch.setattr(distances, "TILE", tile)
    a, b = rng.normal(size=(30, 4)), 1.0 + rng.normal(size=(23, 4))
    found = statistic(a, b, 40, np.random.default_rng(3))
    same = np.random.default_rng(3)
    counts_a, counts_b = bootstrap_counts(30, 23, 40, same)
    draws = [
        over_pairs(
            KERNELS[statistic], a, b, np.repeat(np.arange(30), of_a), np.repeat(np.arange(23), of_b)
        )
        for of_a, of_b in zip(counts_a, counts_b, strict=True)
    ]
    value = over_pairs(KERNELS[statistic], a, b)
    low, high = np.percentile(draws - np.mean(draws), (2.5, 97.5))
    assert found == pytest.approx((value, value + low, value + high), rel=1e-10)
    # Repeats do not pull the draws away from the value.
    assert np.mean(draws) == pytest.approx(value, abs=4 * np.std(draws) / len(draws) ** 0.5)
    assert statistic(a, b, 0, rng) == pytest.approx((value, NAN, NAN), rel=1e-12, nan_ok=True)


def test_energy_distance_is_scipys_but_for_equal_pairs(rng):
    """SciPy's is the root of the statistic in which samples are paired with themselves too."""
    a, b = rng.normal(size=50), 0.5 + rng.normal(size=40)
    within = [pdist(x[:, None]).mean() / len(x) for x in (a, b)]
    found = energy_distance(a[:, None], b[:, None], 0, rng).value
    assert found + sum(within) == pytest.approx(scipy.stats.energy_distance(a, b) ** 2, rel=1e-10)


@each_statistic
def test_a_set_against_itself(statistic, rng):
    x = rng.normal(size=(30, 4))
    values = KERNELS[statistic](x, x)
    different = values[~np.eye(30, dtype=bool)].mean()
    found = statistic(x, x, 20, rng)
    assert found.value == pytest.approx(2 / 30 * (different - np.diag(values).mean()), rel=1e-10)
    assert found.low < found.value < found.high


def expected_energy(shift, f):
    """Of normal laws in one dimension: |X - Y| is a folded normal variable."""
    assert f == 1
    return 2 * scipy.stats.foldnorm(shift / 2**0.5, scale=2**0.5).mean() - 4 / math.pi**0.5


def expected_kid(shift, f):
    """Of normal laws shifted by a vector of the square m, from the moments of products."""
    m = shift**2
    apart = 1 + 3 * (f + m) / f**2
    shifted = 1 + 3 * m / f + 3 * (f + 2 * m + m**2) / f**2
    shifted += (m**3 + 6 * m**2 + 3 * m * f + 6 * m) / f**3
    return (1 + 3 / f) + shifted - 2 * apart


def expected_mmd(shift, f):
    """Of normal laws: X - Y has the variance 2 per dimension."""
    wide = BANDWIDTH**2 + 2
    return (BANDWIDTH**2 / wide) ** (f / 2) * 2 * (1 - math.exp(-(shift**2) / (2 * wide)))


LAWS = [(energy_distance, expected_energy, 1), (kid, expected_kid, 3)]
LAWS.append((gaussian_mmd, expected_mmd, 5))
each_law = pytest.mark.parametrize(
    ("statistic", "expected", "f"), LAWS, ids=lambda found: getattr(found, "__name__", str(found))
)


@each_law
def test_large_sets_are_near_the_closed_form(statistic, expected, f, rng):
    a, b = rng.normal(size=(1500, f)), rng.normal(size=(1200, f))
    b[:, 0] += 1.0
    found = statistic(a, b, 100, rng)
    assert found.value == pytest.approx(expected(1.0, f), rel=0.15)
    assert found.low < expected(1.0, f) < found.high


@each_law
@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_intervals_contain_the_distance(statistic, expected, f, shift, rng):
    values, inside = [], 0
    for _ in range(100):
        a, b = rng.normal(size=(60, f)), rng.normal(size=(50, f))
        b[:, 0] += shift
        found = statistic(a, b, 80, rng)
        values.append(found.value)
        inside += found.low <= expected(shift, f) <= found.high
    assert inside >= 85
    error = np.std(values) / 10
    assert np.mean(values) == pytest.approx(expected(shift, f), abs=4 * error)


def test_squared_distances_are_scipys(rng):
    """Near pairs keep their digits: products alone would lose all of them."""
    x = rng.normal(size=(40, 30))
    y = np.concatenate([x[:10], x[10:20] + 1e-9, x[20:30] + 1e-4, rng.normal(size=(200, 30))])
    found = squared_distances(x, y)
    np.testing.assert_allclose(np.sqrt(found), cdist(x, y), rtol=1e-12)
    np.testing.assert_array_equal(found[np.arange(10), np.arange(10)], 0.0)
    # So near to each other that a whole tile is.
    close = 1.0 + 1e-7 * rng.normal(size=(50, 3))
    np.testing.assert_allclose(
        np.sqrt(squared_distances(close, close)), cdist(close, close), rtol=1e-12
    )


@pytest.mark.parametrize("f", [1, 30])
def test_energy_distance_keeps_its_digits(f, rng):
    """Far from the origin, with near pairs in both sets and between them."""
    a = rng.normal(size=(60, f))
    b = np.concatenate([a[:30] + 1e-8 * rng.normal(size=(30, f)), rng.normal(size=(20, f))])
    a, b = np.concatenate([a, a[:30]]) + 1e4, b + 1e4
    found = energy_distance(a, b, 0, rng).value
    expected = 2 * cdist(a, b).mean() - pdist(a).mean() - pdist(b).mean()
    assert found == pytest.approx(expected, abs=1e-10)


def test_median_bandwidth(rng):
    x = rng.normal(size=(101, 4))
    assert median_bandwidth(x) == pytest.approx(np.median(pdist(x)), rel=1e-12)
    assert median_bandwidth(rng.normal(size=(5000, 4))) == pytest.approx(
        math.sqrt(2 * scipy.stats.chi2(4).median()), rel=0.02
    )
    with pytest.raises(ValueError, match="no bandwidth"):
        median_bandwidth(np.ones((5, 2)))
    y = rng.normal(size=(50, 4))
    assert mmd(x, y, 0, rng).value == mmd(x, y, 0, rng, float(np.median(pdist(x)))).value
    with pytest.raises(ValueError, match=r"bandwidth: 0\.0 is not usable"):
        mmd(x, y, 0, rng, 0.0)


def balls(centres, points, k):
    """Shares of points in the balls, by sorting."""
    radii = np.sort(cdist(centres, centres), axis=1)[:, k]
    return np.mean(np.any(cdist(centres, points) <= radii[:, None], axis=0))


@pytest.mark.parametrize(("tile", "k"), [(1024, 3), (7, 3), (1024, 1)])
def test_precision_and_recall_by_sorting(tile, k, rng, monkeypatch):
    monkeypatch.setattr(distances, "TILE", tile)
    real = rng.normal(size=(60, 4)) + 100.0
    generated = 0.8 * rng.normal(size=(45, 4)) + 100.5
    found = precision_recall(real, generated, 400, rng, k)
    precision, recall = balls(real, generated, k), balls(generated, real, k)
    assert 0.0 < recall < 1.0
    assert 0.0 < precision < 1.0
    for share, expected, n in ((found.precision, precision, 45), (found.recall, recall, 60)):
        assert share.value == expected
        ends = scipy.stats.binom.ppf([0.025, 0.975], n, expected) / n
        np.testing.assert_allclose(share[1:], ends, atol=1.01 / n)


def test_precision_and_recall_at_their_ends(rng):
    x = rng.normal(size=(30, 3))
    same = precision_recall(x, x, 10, rng)
    assert same.precision == same.recall == (1.0, 1.0, 1.0)
    apart = precision_recall(x, x + 100.0, 10, rng)
    assert apart.precision == apart.recall == (0.0, 0.0, 0.0)
    # A tie is within, though rounding parts it: of 0, 0.1 and 0.2 the last is as far from 0.4 as
    # the second neighbour of 0.4 is.
    line = np.arange(9)[:, None] / 10
    tied = precision_recall(line[4:], line[:3], 0, rng, 2)
    assert tied.precision.value == pytest.approx(1 / 3)
    assert math.isnan(tied.precision.low)


def test_repeated_samples_have_balls_of_themselves_only(rng):
    real = np.repeat(rng.normal(size=(5, 3)), 4, axis=0)
    generated = np.concatenate([real[:8], real[:4] + 1e-3])
    assert precision_recall(real, generated, 0, rng).precision.value == pytest.approx(8 / 12)


@pytest.mark.parametrize("measure", [kid, energy_distance, mmd, precision_recall])
def test_bad_input_is_named(measure, rng):
    good = rng.normal(size=(8, 2))
    for bad, words in (
        (np.zeros(8), "shape"),
        (np.zeros((8, 3)), "2 and 3 features"),
        (np.full((8, 2), np.nan), "not finite"),
        (np.zeros((1, 2)), "n of 2 or more"),
    ):
        with pytest.raises(ValueError, match=words):
            measure(good, bad, 0, rng)
    with pytest.raises(ValueError, match="draws: -1 is not usable"):
        measure(good, good + 1.0, -1, rng)


def test_too_few_samples_for_neighbours(rng):
    with pytest.raises(ValueError, match="each of 3 rows has fewer than 3 others"):
        precision_recall(rng.normal(size=(8, 2)), rng.normal(size=(3, 2)), 0, rng)
