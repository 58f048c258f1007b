"""Neighbours against SciPy, estimates against scikit-dimension and known dimensions."""

import numpy as np
import pytest
import skdim
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from shapes import embedded, rotation, sphere

from mdvae.analysis import neighbours
from mdvae.analysis.neighbours import local_counts, local_pca, log_ratios, mle, nearest, two_nn


@pytest.fixture
def rng():
    return np.random.default_rng(7)


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
    with pytest.raises(ValueError, match="each of 3 rows has fewer than 3 others"):
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


def test_numbers_of_neighbours_that_have_no_likelihood(rng):
    distances = nearest(rng.normal(size=(300, 4)), 10).distances
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


def test_log_ratios_leave_duplicates_out():
    assert list(log_ratios(np.array([[0.0, 1.0], [1.0, 1.0]]))) == [0.0]
