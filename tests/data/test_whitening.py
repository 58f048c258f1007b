"""Whitening against NumPy, its identity, and its independence of padding."""

import jax
import numpy as np
import pytest

from mdvae.data.whitening import apply_whitening, fit_whitening, identity


def samples(d=5, n=4_000):
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(d, d)) * np.geomspace(1.0, 1e-2, d)
    return (mixing @ rng.normal(size=(d, n)) + rng.normal(size=(d, 1))).astype(np.float32)


def test_whitened_samples_have_no_mean_and_unit_covariance():
    x = samples()
    white = np.asarray(apply_whitening(fit_whitening(x), x), np.float64)
    np.testing.assert_allclose(white.mean(axis=1), 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(white), np.eye(5), atol=0.05)


def test_matrix_is_the_symmetric_inverse_root():
    x = samples()
    variances, vectors = np.linalg.eigh(np.cov(x.astype(np.float64), bias=True))
    expected = (vectors / np.sqrt(variances + 1e-5 * variances[-1])) @ vectors.T
    np.testing.assert_allclose(fit_whitening(x).matrix, expected, rtol=2e-2, atol=2e-2)


def test_padding_stays_at_zero_and_does_not_matter():
    x = samples()
    padded = np.pad(x, ((0, 3), (0, 0)))
    wide, narrow = fit_whitening(padded), fit_whitening(x)
    np.testing.assert_allclose(wide.matrix[:5, :5], narrow.matrix, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(wide.mean[:5], narrow.mean, rtol=1e-4, atol=1e-5)
    assert not np.any(apply_whitening(wide, padded)[5:])


def test_directions_without_variance_are_not_blown_up():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(6, 2)) @ rng.normal(size=(2, 1_000))).astype(np.float32)
    white = apply_whitening(fit_whitening(x), x)
    assert np.all(np.isfinite(white))
    assert np.linalg.svd(white, compute_uv=False)[2] < 0.05 * np.sqrt(1_000)


def test_identity_changes_nothing():
    x = samples()
    np.testing.assert_array_equal(jax.jit(apply_whitening)(identity(5), x), x)


@pytest.mark.parametrize("d", [1, 2])
def test_few_dimensions(d):
    white = apply_whitening(fit_whitening(samples(d)), samples(d))
    np.testing.assert_allclose(np.std(white, axis=1), 1.0, atol=0.02)
