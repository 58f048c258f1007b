"""Intervals against SciPy and statsmodels-known values."""

import math

import numpy as np
import pytest
import scipy.stats

from mdvae.analysis.statistics import fraction_interval, mean_interval, student_factor


def test_mean_interval_is_students():
    values = [1.0, 2.0, 4.0, 8.0]
    interval = mean_interval(values)
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    assert interval == pytest.approx((3.75, np.std(values, ddof=1), low, high, 4))


def test_single_value_has_no_interval():
    interval = mean_interval([2.0, None, float("nan")])
    assert interval.mean == 2.0
    assert all(math.isnan(value) for value in (interval.sd, interval.low, interval.high))
    assert interval.n == 1
    assert mean_interval([None]).n == 0
    assert all(math.isnan(value) for value in mean_interval([None])[:4])


@pytest.mark.parametrize(("hits", "total"), [(0, 1), (1, 1), (0, 20), (69, 70), (7, 13)])
def test_intervals_are_scipys(hits, total):
    found, right = fraction_interval(hits, total), scipy.stats.binomtest(hits, total)
    low, high = right.proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert student_factor(total) == pytest.approx(scipy.stats.t.ppf(0.975, total), rel=1e-9)


def test_wilson_interval():
    # Closed form at 8 of 10 with z = 1.959964: centre (p + z^2/2n) / (1 + z^2/n).
    z, n, p = 1.959963985, 10, 0.8
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = fraction_interval(8, 10)
    assert (interval.mean, interval.low, interval.high) == pytest.approx(
        (p, centre - half, centre + half)
    )
    assert math.isnan(fraction_interval(0, 0).mean)
