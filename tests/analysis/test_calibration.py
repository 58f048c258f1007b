"""Intervals of estimates, and their calibration on references of known dimension."""

import numpy as np
import pytest
from shapes import embedded, sphere

from mdvae.analysis.calibration import (
    calibrated,
    dimension_grid,
    inverted,
    linear_scores,
    linear_span,
    references,
    rising,
    subsample,
)
from mdvae.analysis.neighbours import mle_estimate, nearest, opinion, two_nn, two_nn_estimate


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_intervals_contain_the_estimate_and_shrink(rng):
    widths = []
    for n in (200, 800, 3200):
        distances = nearest(rng.normal(size=(n, 3)), 20).distances
        told = [
            opinion("TwoNN", two_nn_estimate(distances, rng)),
            opinion("MLE", mle_estimate(distances, 20, rng)),
        ]
        assert all(one.low < one.value < one.high for one in told)
        widths.append([one.high - one.low for one in told])
    ratios = np.array(widths[:-1]) / widths[1:]
    assert np.all((ratios > 1.5) & (ratios < 2.7))  # 2 where intervals go with 1 / sqrt(n)


def test_interval_of_two_nn_covers(rng):
    """In two dimensions there is little bias, and the interval is for the rest."""
    inside = 0
    for _ in range(60):
        x = rng.uniform(size=(400, 2))
        one = opinion("", two_nn_estimate(nearest(x, 2).distances, rng))
        inside += one.low <= 2.0 <= one.high
    assert inside >= 48


def test_draws_are_the_generators(rng):
    distances = nearest(rng.normal(size=(100, 3)), 2).distances
    first, second = (two_nn_estimate(distances, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.draws, second.draws)
    assert first.value == two_nn(distances)


def two_nn_of(x):
    return two_nn_estimate(nearest(x, 2).distances, np.random.default_rng(0))


@pytest.mark.parametrize(("d", "plain_is_right"), [(10, True), (20, False)])
def test_calibration_recovers_many_dimensions(d, plain_is_right, rng):
    x = embedded(rng.normal(size=(1500, d)), 40, rng)
    assert (abs(two_nn_of(x).value - d) < 0.1 * d) == plain_is_right
    told = opinion("", calibrated(x, two_nn_of, dimension_grid(40), rng))
    assert told.value == pytest.approx(d, rel=0.1)
    assert told.low <= told.value <= told.high <= d


def test_calibration_where_the_span_is_no_bound(rng):
    """A sphere of 15 dimensions, bent once more: its 16 coordinates and their squares."""
    x = sphere(1500, 15, rng)
    x = np.concatenate([x, x**2], axis=1)
    assert linear_scores(x).shape[1] == 31
    plain, told = two_nn_of(x).value, calibrated(x, two_nn_of, dimension_grid(31), rng).value
    assert plain < 14
    assert told == pytest.approx(15, rel=0.05)


def test_calibration_of_one_point(rng):
    told = []
    assert np.isnan(calibrated(np.ones((30, 4)), two_nn_of, [1, 2], rng, told.append).value)
    assert not told
    assert np.isnan(calibrated(rng.normal(size=(30, 2)), two_nn_of, [3], rng).value)


def test_calibration_stops_above_the_data(rng):
    told = []
    calibrated(rng.normal(size=(500, 40)) * ([1] * 3 + [1e-2] * 37), two_nn_of, range(1, 41), rng,
               told.append)  # fmt: skip
    assert 3 < len(told) < 41
    assert told[0] == "reference of 1 dimension"


def test_references_are_permuted_scores(rng):
    scores = linear_scores(rng.normal(size=(200, 3)) @ rng.normal(size=(3, 5)))
    assert scores.shape == (200, 3)
    made = list(references(scores, [1, 3, 5], rng))
    assert [one.shape[1] for one in made] == [1, 3]
    np.testing.assert_array_equal(np.sort(made[1], axis=0), np.sort(scores, axis=0))
    assert np.abs(np.corrcoef(made[1].T) - np.eye(3)).max() < 0.3


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_scores_keep_distances(shape, rng):
    x = rng.normal(size=shape) + 5.0
    scores = linear_scores(x)
    assert scores.shape[1] == min(shape[1], shape[0] - 1)
    np.testing.assert_allclose(nearest(scores, 5).distances, nearest(x, 5).distances, rtol=1e-9)


def test_reading_a_curve_backwards():
    places, levels = rising([0, 1, 2, 3, 4], [0.0, 1.0, 3.0, 2.0, 4.0])
    assert list(places) == [0, 1, 2.5, 4]
    assert list(levels) == [0, 1, 2.5, 4]
    assert inverted([1, 2, 4], [1.0, 1.5, 2.5], 2.0, 9) == 3.0
    assert inverted([1, 2, 4], [1.0, 1.5, 2.5], 3.0, 9) == 5.0
    assert inverted([1, 2, 4], [1.0, 1.5, 2.5], 9.0, 9) == 9.0
    assert inverted([2], [1.0], 0.5, 9) == 1.0
    assert inverted([1, 2], [1.0, np.nan], 2.0, 9) == 2.0
    assert np.isnan(inverted([1, 2], [1.0, 2.0], np.nan, 9))


def test_grid_of_dimensions():
    assert dimension_grid(0) == []
    assert dimension_grid(1) == [1]
    assert dimension_grid(17) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 17]


def test_subsample(rng):
    x = np.arange(20.0)[:, None]
    assert subsample(x, 20, rng) is x
    kept = subsample(x, 5, rng)[:, 0]
    assert len(kept) == 5
    assert np.all(np.diff(kept) > 0)


@pytest.mark.parametrize(
    ("n", "noise", "span"), [(300, 0, 4), (20, 0, 4), (300, 1, 30), (20, 1, 19)]
)
def test_linear_span(n, noise, span, rng):
    """As many as singular values, of more rows than columns and of fewer."""
    x = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 30)) + noise * rng.normal(size=(n, 30)) + 9
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    assert linear_span(x) == span == np.sum(singular > 1e-3 * np.linalg.norm(singular))
    assert linear_scores(x).shape == (n, span)
    assert linear_span(np.ones((5, 3))) == 1
