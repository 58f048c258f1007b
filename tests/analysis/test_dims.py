"""Active dimensions from spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdvae.analysis import dims
from mdvae.analysis.dims import (
    active_dimensions,
    count_intervals,
    largest_gap,
    largest_log_gap,
    log_odds,
    threshold_curve,
)

# CVAE-dims, Table 10: kappa=20, d=30, r=6.
TABLE_10 = [0.0080, 0.0018, 1, 1, 1, 0.0027, 0.0031, 1, 1, 1, 1, 0.0087, 1, 0.0141, *[1.0] * 6]

spectra = st.lists(st.floats(1e-6, 1.5), min_size=1, max_size=20).map(np.array)


def test_published_spectrum_has_six():
    assert active_dimensions(np.array(TABLE_10), 0.05) == 6
    gap = largest_gap(np.array(TABLE_10), 1.0)
    assert gap.ad == 6
    assert (gap.low, gap.high) == (0.0141, 0.9)
    assert gap.width == pytest.approx(np.log(9) - np.log(0.0141 / 0.9859))
    old = largest_log_gap(np.array(TABLE_10), 1.0)
    assert (old.ad, old.low, old.high) == (6, 0.0141, 1.0)
    assert old.width == pytest.approx(-np.log(0.0141))


def test_needed_dimension_above_the_threshold_is_seen_by_the_gap():
    ratios = np.array([0.002, 0.004, 0.08, 1.0, 0.99])
    assert active_dimensions(ratios, 0.05) == 2
    assert largest_gap(ratios[[0, 1, 3, 4]], 1.0).ad == 2
    assert largest_gap(np.array([0.02, 0.03, 0.08, 1.0, 0.99]), 1.0).ad == 3


def test_all_latents_in_use():
    assert largest_gap(np.array([0.001, 0.002, 0.003]), 1.0).ad == 3


def test_no_latent_in_use_is_an_answer():
    assert largest_gap(np.array([0.9, 0.95, 1.0, 1.01]), 1.0).ad == 0
    assert largest_gap(np.ones(5), 1.0).ad == 0
    assert largest_log_gap(np.ones(5), 1.0).ad is None


def test_no_gap():
    assert largest_gap(np.array([0.3, 0.45, 0.6, 0.8]), 1.0).ad is None
    assert largest_gap(np.array([0.8, 1.0, 1.0]), 1.0).ad is None
    assert largest_gap(np.array([np.nan, 0.1]), 1.0).ad is None


# Mean ratios of trained models: planted spectra whose answer is known by other means.
PLANTED = {
    "a block of several scales": ([1e-6, *[1e-3] * 5, *[1.0] * 14], 6, 1),
    "a latent that most samples use": (
        [1e-4, 3e-4, 0.001, 0.003, 0.0056, 0.0521, 0.0788, 0.2137, *[0.9997] * 12],
        8,
        None,
    ),
    "a paraboloid, one direction far longer than the others": (
        [3.2e-6, 1.5e-4, 1.6e-4, 1.7e-4, 1.8e-4, 1.87e-4, 0.9956, *[0.999] * 14],
        6,
        None,
    ),
    "the same at a larger gamma": ([3.2e-4, 0.02, 0.02, 0.03, 0.03, 0.04, *[1.0] * 15], 6, 1),
    "active ones far apart": ([1e-5, 1e-4, 1e-3, 0.02, 1.0, 0.99], 4, None),
    "all in use": ([0.001, 0.002, 0.01], 3, 3),
    "none in use": ([0.97, 0.98, 1.0, 1.0], 0, None),
    "one in use": ([1e-4, 1.0, 1.0], 1, 1),
}


@pytest.mark.parametrize("name", list(PLANTED))
def test_planted_spectra(name):
    ratios, right, old = PLANTED[name]
    assert largest_gap(np.array(ratios), 1.0).ad == right
    if old is not None:
        assert largest_log_gap(np.array(ratios), 1.0).ad == old


@pytest.mark.parametrize("level", [0.8, 0.85, 0.95, 0.98])
def test_the_priors_level_does_not_matter(level, monkeypatch):
    monkeypatch.setattr(dims, "PRIOR_LEVEL", level)
    for ratios, right, _ in PLANTED.values():
        # Ratios at the prior are above any of the levels but for a trained model's scatter.
        assert largest_gap(np.where(np.array(ratios) > 0.9, 1.0, ratios), 1.0).ad == right


@given(spectra)
def test_log_gap_is_the_widest_constant_interval_of_the_threshold_curve(ratios):
    edges, counts = threshold_curve(ratios)
    gap = largest_log_gap(ratios, 0.0)
    assert gap.width == pytest.approx(np.max(np.diff(np.log(edges))))
    inside = np.sqrt(gap.low * gap.high)
    if gap.width > 1e-6:
        assert active_dimensions(ratios, inside) == gap.ad
    assert list(counts) == list(range(1, len(ratios) + 1))


@given(spectra)
def test_gap_is_the_widest_interval_in_log_odds(ratios):
    gap = largest_gap(ratios, 0.0)
    if np.all(ratios >= 0.9):
        assert gap.ad == 0
        return
    edges, _ = threshold_curve(ratios, 0.9)
    assert gap.width == pytest.approx(np.max(np.diff(log_odds(edges))))
    if gap.width > 1e-6:
        inside = 1 / (1 + np.exp(-(log_odds(gap.low) + log_odds(gap.high)) / 2))
        assert active_dimensions(ratios, inside) == gap.ad


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
    assert count_intervals(np.ones((3, 20)), 0.05, 1.0) == ((0, 0), (0, 0))
    assert count_intervals(np.full((3, 20), 0.7), 0.05, 2.5) == ((0, 0), None)
