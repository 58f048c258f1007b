"""Neighbours against SciPy, estimates against scikit-dimension and known dimensions."""

import numpy as np
import pytest
import skdim
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from mdvae.analysis import neighbours
from mdvae.analysis.calibration import (
    calibrated,
    dimension_grid,
    inverted,
    linear_scores,
    references,
    rising,
    subsample,
)
from mdvae.analysis.neighbours import (
    local_counts,
    local_pca,
    log_ratios,
    mle,
    mle_curve,
    mle_estimate,
    nearest,
    opinion,
    two_nn,
    two_nn_estimate,
)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def rotation(generator, d):
    return np.linalg.qr(generator.normal(size=(d, d)))[0]


def embedded(x, columns, generator):
    """The same distances, in more columns."""
    return np.pad(x, ((0, 0), (0, columns - x.shape[1]))) @ rotation(generator, columns)


def sphere(n, d, generator):
    x = generator.normal(size=(n, d + 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def assert_nearest(x, k):
    found = nearest(x, k)
    distances, indices = cKDTree(x).query(x, k + 1)
    np.testing.assert_allclose(found.distances, distances[:, 1:], rtol=1e-12)
    np.testing.assert_array_equal(found.indices, indices[:, 1:])


@pytest.mark.parametrize(
    ("n", "columns", "k"), [(700, 3, 10), (700, 64, 10), (700, 65, 100), (40, 300, 39), (2, 1, 1)]
)
def test_nearest_is_scipys(n, columns, k, rng):
    assert_nearest(rng.normal(size=(n, columns)), k)


@pytest.mark.parametrize("columns", [5, 100])
def test_nearest_tells_near_duplicates_apart(columns, rng):
    """Pairs and clusters far below the rounding of products, even of the double ones."""
    x = rng.normal(size=(60, columns))
    close = np.repeat(x, 20, axis=0) + 1e-10 * rng.normal(size=(1200, columns))
    assert_nearest(np.concatenate([x, close + 3.0]), 5)


def test_nearest_in_blocks(rng, monkeypatch):
    x = rng.normal(size=(300, 70))
    whole = nearest(x, 7)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 2**16)
    told = []
    parts = nearest(x, 7, told.append)
    np.testing.assert_array_equal(parts.distances, whole.distances)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    assert len(told) > 1
    assert told[-1] == "neighbours of 300 of 300 rows"


def test_nearest_of_duplicates(rng):
    x = np.repeat(rng.normal(size=(50, 80)), 2, axis=0)
    found = nearest(x, 2)
    np.testing.assert_array_equal(found.distances[:, 0], 0.0)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(100) ^ 1)


def test_nearest_refuses():
    with pytest.raises(ValueError, match="finite"):
        nearest(np.array([[1.0], [np.nan]]), 1)
    with pytest.raises(ValueError, match="finite"):
        nearest(np.zeros(3), 1)
    with pytest.raises(ValueError, match="no 3 nearest"):
        nearest(np.zeros((3, 2)), 3)


@pytest.mark.parametrize("d", [2, 9])
def test_estimates_are_scikit_dimensions(d, rng):
    """TwoNN with a tenth discarded and a linear fit; MLE with comb="mle" and not `unbiased`."""
    x = rng.normal(size=(1000, d)) ** 3
    distances = nearest(x, 20).distances
    assert two_nn(distances) == pytest.approx(skdim.id.TwoNN().fit(x).dimension_, rel=1e-9)
    theirs = skdim.id.MLE().fit(x, n_neighbors=20, comb="mle").dimension_
    assert mle(distances, 20) == pytest.approx(theirs, rel=1e-9)


def test_local_counts_are_scikit_dimensions(rng):
    x = embedded(sphere(500, 4, rng), 12, rng)
    indices = nearest(x, 30).indices
    rule = skdim.id.lPCA(ver="FO", alphaFO=0.1)
    for i, count in enumerate(local_counts(x[:20], indices[:20] % 20)):
        assert count == rule.fit(x[np.append(i, indices[i] % 20)]).dimension_


def test_plane(rng):
    x = embedded(rng.uniform(size=(3000, 3)), 10, rng)
    found = nearest(x, 100)
    assert two_nn(found.distances) == pytest.approx(3, abs=0.3)
    assert mle(found.distances, 20) == pytest.approx(3, abs=0.3)
    assert local_pca(x, neighbours=found) == 3.0


@pytest.mark.parametrize(("d", "columns"), [(1, 2), (5, 5), (10, 200), (20, 40)])
def test_local_pca_is_exact_on_linear_data(d, columns, rng):
    assert local_pca(embedded(rng.uniform(size=(1500, d)), columns, rng)) == d


@pytest.mark.parametrize("d", [1, 2, 5, 10])
def test_local_pca_does_not_count_the_bulge_of_spheres(d, rng):
    assert local_pca(sphere(2500, d, rng)) == pytest.approx(d, abs=0.1)


def test_local_counts_at_some_points(rng, monkeypatch):
    x = rng.normal(size=(500, 6))
    indices = nearest(x, 20).indices
    every = local_counts(x, indices)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 2**14)
    np.testing.assert_array_equal(local_counts(x, indices), every)
    assert len(local_counts(x, indices, most=50)) == 50


def test_mle_curve_and_its_ends(rng):
    distances = nearest(rng.normal(size=(300, 4)), 10).distances
    assert list(mle_curve(distances, [5, 10])) == [mle(distances, 5), mle(distances, 10)]
    for k in (1, 11):
        with pytest.raises(ValueError, match="at least 2"):
            mle(distances, k)


def test_no_number_without_distances():
    """Of one point repeated, and of points as far from their second neighbour as their first."""
    none = nearest(np.zeros((20, 3)), 5)
    assert np.isnan(two_nn(none.distances))
    assert np.isnan(mle(none.distances, 5))
    assert np.isnan(local_pca(np.zeros((20, 3)), 5))
    assert np.isnan(two_nn(np.ones((20, 2))))
    assert np.isnan(mle(np.ones((20, 2)), 2))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-6, 0.3, 1.0, 1e5]),
    shift=st.sampled_from([0.0, -2.0, 100.0]),
)
def test_estimates_do_not_change_with_the_frame(seed, scale, shift):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(120, 6)) * [1, 1, 1, 0.5, 0.01, 0.01]
    moved = scale * (x @ rotation(generator, 6) + shift)
    before, after = nearest(x, 15), nearest(moved, 15)
    np.testing.assert_allclose(after.distances, scale * before.distances, rtol=1e-9)
    assert two_nn(after.distances) == pytest.approx(two_nn(before.distances), rel=1e-6)
    assert mle(after.distances, 15) == pytest.approx(mle(before.distances, 15), rel=1e-6)
    assert local_pca(moved, 15) == local_pca(x, 15)


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
    assert told[0] == "reference of 1 dimensions"


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


def test_log_ratios_leave_duplicates_out():
    assert list(log_ratios(np.array([[0.0, 1.0], [1.0, 1.0]]))) == [0.0]
