"""Loss terms against independent computations."""

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mdvae import distributions
from mdvae.objective import block_means, gaussian_terms, to_paper_units

small = st.floats(-2.0, 2.0, width=32)


@given(mean_q=small, logvar_q=small, mean_p=small, logvar_p=small)
def test_kl_against_quadrature(mean_q, logvar_q, mean_p, logvar_p):
    q = scipy.stats.norm(mean_q, np.exp(0.5 * logvar_q))
    p = scipy.stats.norm(mean_p, np.exp(0.5 * logvar_p))
    reach = 12 * np.exp(0.5 * logvar_q)
    expected, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean_q - reach, mean_q + reach
    )
    arguments = (np.float32(v) for v in (mean_q, logvar_q, mean_p, logvar_p))
    assert float(distributions.kl_normal(*arguments)) == pytest.approx(expected, abs=2e-4, rel=1e-4)


def test_kl_to_the_standard_prior_is_zero_at_the_prior():
    zeros = np.zeros((3, 4), np.float32)
    assert not np.any(distributions.kl_normal(zeros, zeros))


def test_reparameterised_samples_have_the_stated_law():
    noise = jax.random.normal(jax.random.key(0), (20_000,))
    z = distributions.reparameterise(np.float32(1.5), np.float32(-1.0), noise)
    assert scipy.stats.kstest(np.asarray(z), "norm", (1.5, np.exp(-0.5))).pvalue > 1e-3


def test_terms_against_scipy():
    rng = np.random.default_rng(0)
    d, kappa, batch, log_gamma = 5, 3, 7, -1.3
    x, x_hat = rng.normal(size=(2, d, batch)).astype(np.float32)
    mean, logvar = rng.normal(size=(2, kappa, batch)).astype(np.float32)
    terms = gaussian_terms(x, x_hat, mean, logvar, np.float32(log_gamma), np.float32(d))
    nll = -scipy.stats.norm.logpdf(x, x_hat, np.exp(0.5 * log_gamma)).sum(axis=0)
    kl = 0.5 * (np.exp(logvar) + mean**2 - 1 - logvar).sum(axis=0)
    np.testing.assert_allclose(terms.recon, ((x - x_hat) ** 2).sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(terms.nll, nll, rtol=1e-5)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-5)
    np.testing.assert_allclose(terms.nelbo, nll + kl, rtol=1e-5)


@given(st.integers(1, 90))
def test_block_means(n):
    values = np.random.default_rng(n).normal(size=n).astype(np.float32)
    blocks = np.asarray(block_means(values))
    assert len(blocks) == min(20, n)
    size = n // len(blocks)
    np.testing.assert_allclose(blocks[0], values[:size].mean(), rtol=1e-5, atol=1e-6)
    matrix = np.asarray(block_means(np.stack([values, 2 * values])))
    np.testing.assert_allclose(matrix, [blocks, 2 * blocks], rtol=1e-5)
    used = values[: size * len(blocks)]
    np.testing.assert_allclose(blocks.mean(), used.mean(), rtol=1e-4, atol=1e-6)


def test_paper_units_reproduce_a_published_row():
    # Table 1, kappa=20, d=20, r=10: Recon 0.0474, KL 35.81, -ELBO -28.34, at gamma = Recon / d.
    recon, d, kl_nats = 0.0474, 20, 35.81 / 2
    log_gamma = np.float32(np.log(recon / d))
    x = np.zeros((d, 1), np.float32)
    x_hat = np.full((d, 1), np.sqrt(recon / d), np.float32)
    zeros = np.zeros((1, 1), np.float32)
    terms = gaussian_terms(x, x_hat, zeros, zeros, log_gamma, np.float32(d))
    assert to_paper_units(float(terms.nll[0]) + kl_nats) == pytest.approx(-28.34, abs=0.02)
