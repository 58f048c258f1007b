"""Active dimensions from spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdvae.analysis.dims import active_dimensions, count_intervals, largest_gap, threshold_curve

# CVAE-dims, Table 10: kappa=20, d=30, r=6.
TABLE_10 = [0.0080, 0.0018, 1, 1, 1, 0.0027, 0.0031, 1, 1, 1, 1, 0.0087, 1, 0.0141, *[1.0] * 6]

spectra = st.lists(st.floats(1e-6, 1.5), min_size=1, max_size=20).map(np.array)


def test_published_spectrum_has_six():
    assert active_dimensions(np.array(TABLE_10), 0.05) == 6
    gap = largest_gap(np.array(TABLE_10), 1.0)
    assert gap.ad == 6
    assert (gap.low, gap.high) == (0.0141, 1.0)
    assert gap.width == pytest.approx(-np.log(0.0141))


def test_needed_dimension_above_the_threshold_is_seen_by_the_gap():
    ratios = np.array([0.002, 0.004, 0.08, 1.0, 0.99])
    assert active_dimensions(ratios, 0.05) == 2
    assert largest_gap(ratios[[0, 1, 3, 4]], 1.0).ad == 2
    assert largest_gap(np.array([0.02, 0.03, 0.08, 1.0, 0.99]), 1.0).ad == 3


def test_all_latents_in_use():
    assert largest_gap(np.array([0.001, 0.002, 0.003]), 1.0).ad == 3


def test_no_gap():
    assert largest_gap(np.array([0.9, 0.95, 1.0, 1.01]), 1.0).ad is None
    assert largest_gap(np.array([0.1, 0.2, 0.4, 0.8]), 1.0).ad is None
    assert largest_gap(np.array([np.nan, 0.1]), 1.0).ad is None


@given(spectra)
def test_gap_is_the_widest_constant_interval_of_the_threshold_curve(ratios):
    edges, counts = threshold_curve(ratios)
    gap = largest_gap(ratios, 0.0)
    assert gap.width == pytest.approx(np.max(np.diff(np.log(edges))))
    inside = np.sqrt(gap.low * gap.high)
    if gap.width > 1e-6:
        assert active_dimensions(ratios, inside) == gap.ad
    assert list(counts) == list(range(1, len(ratios) + 1))


@given(spectra, st.floats(1e-5, 0.999))
def test_threshold_curve_counts(ratios, threshold):
    edges, counts = threshold_curve(ratios)
    place = np.searchsorted(edges, threshold)
    expected = 0 if place == 0 else counts[place - 1]
    if threshold not in edges:
        assert active_dimensions(ratios, threshold) == expected


@given(spectra, st.randoms())
def test_order_of_latents_does_not_matter(ratios, random):
    shuffled = list(ratios)
    random.shuffle(shuffled)
    assert largest_gap(np.array(shuffled), 0.5) == largest_gap(ratios, 0.5)


def test_count_intervals():
    sure = np.repeat([[0.01], [0.02], [1.0]], 20, axis=1)
    assert count_intervals(sure, 0.05, 1.0) == ((2, 2), (2, 2))
    # A latent whose mean over samples is at the threshold may fall on either side of it.
    rng = np.random.default_rng(0)
    unsure = np.stack([sure[0], 0.05 * np.exp(rng.normal(0, 0.5, 20)), sure[2]])
    (low, high), gap = count_intervals(unsure, float(unsure[1].mean()), 1.0)
    assert (low, high) == (1, 2)
    assert gap == (2, 2)
    assert count_intervals(np.ones((3, 20)), 0.05, 1.0) == ((0, 0), None)
