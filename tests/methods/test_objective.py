"""Loss terms against independent computations."""

import numpy as np
import pytest
import scipy.stats

from mdvae.methods import distributions
from mdvae.methods.objective import gaussian_terms, squared_error, to_paper_units
from mdvae.networks.base import Diagonal


def test_terms_against_scipy():
    rng = np.random.default_rng(0)
    d, kappa, batch, log_gamma = 5, 3, 7, -1.3
    x, x_hat = rng.normal(size=(2, d, batch)).astype(np.float32)
    mean, logvar = rng.normal(size=(2, kappa, batch)).astype(np.float32)
    recon_B = squared_error(x, x_hat, -1)
    kl_B = distributions.kl(Diagonal(mean, logvar))
    terms = gaussian_terms(recon_B, kl_B, np.float32(log_gamma), np.float32(d))
    nll = -scipy.stats.norm.logpdf(x, x_hat, np.exp(0.5 * log_gamma)).sum(axis=0)
    kl = 0.5 * (np.exp(logvar) + mean**2 - 1 - logvar).sum(axis=0)
    np.testing.assert_allclose(terms.recon, ((x - x_hat) ** 2).sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(terms.nll, nll, rtol=1e-5)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-5)
    np.testing.assert_allclose(terms.nelbo, nll + kl, rtol=1e-5)


def test_squared_errors_of_samples_wherever_their_axis_is():
    rng = np.random.default_rng(1)
    x, x_hat = rng.normal(size=(2, 4, 3, 2, 5)).astype(np.float32)
    for axis in (0, 2, -1):
        others = tuple(i for i in range(4) if i != axis % 4)
        expected = ((x - x_hat) ** 2).sum(axis=others)
        np.testing.assert_allclose(squared_error(x, x_hat, axis), expected, rtol=1e-5)


def test_paper_units_reproduce_a_published_row():
    # Table 1, kappa=20, d=20, r=10: Recon 0.0474, KL 35.81, -ELBO -28.34, at gamma = Recon / d.
    recon, d, kl_nats = 0.0474, 20, 35.81 / 2
    log_gamma = np.float32(np.log(recon / d))
    x = np.zeros((d, 1), np.float32)
    x_hat = np.full((d, 1), np.sqrt(recon / d), np.float32)
    recon_B, kl_B = squared_error(x, x_hat, -1), np.zeros(1, np.float32)
    terms = gaussian_terms(recon_B, kl_B, log_gamma, np.float32(d))
    assert float(terms.recon[0]) == pytest.approx(recon, rel=1e-5)
    assert to_paper_units(float(terms.nll[0]) + kl_nats) == pytest.approx(-28.34, abs=0.02)
