"""Gaussians of diagonal and of full covariance against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mdvae.methods import distributions
from mdvae.methods.distributions import kl, kl_normal, sample, spectrum
from mdvae.networks.base import Diagonal, Full

KAPPA, BATCH = 4, 6

small = st.floats(-2.0, 2.0, width=32)


def draw_full(seed, kappa=KAPPA, batch=BATCH) -> Full:
    """Random means and lower triangular factors; an entry of the diagonal has either sign."""
    rng = np.random.default_rng(seed)
    factor = np.tril(rng.normal(size=(batch, kappa, kappa)), -1)
    diagonal = rng.choice([-1.0, 1.0], (batch, kappa)) * rng.uniform(0.1, 2.0, (batch, kappa))
    factor[:, range(kappa), range(kappa)] = diagonal
    mean = rng.normal(size=(kappa, batch))
    return Full(mean.astype(np.float32), factor.transpose(1, 2, 0).astype(np.float32))


def draw_diagonal(seed, kappa=KAPPA, batch=BATCH) -> Diagonal:
    rng = np.random.default_rng(seed)
    return Diagonal(*rng.normal(size=(2, kappa, batch)).astype(np.float32))


def moments(posterior, i):
    """Mean and covariance of one sample's posterior, in double precision."""
    mean = np.asarray(posterior.mean, np.float64)[:, i]
    if isinstance(posterior, Full):
        factor = np.asarray(posterior.factor, np.float64)[:, :, i]
        return mean, factor @ factor.T
    return mean, np.diag(np.exp(np.asarray(posterior.logvar, np.float64)[:, i]))


def prior_moments(prior, i):
    return (np.zeros(KAPPA), np.eye(KAPPA)) if prior is None else moments(prior, i)


def closed_form(q, p):
    """KL(N(m_q, S_q) || N(m_p, S_p)) by inverse and determinants."""
    (mean_q, cov_q), (mean_p, cov_p) = q, p
    inverse = np.linalg.inv(cov_p)
    deviation = mean_q - mean_p
    logdets = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    trace = np.trace(inverse @ cov_q)
    return 0.5 * (trace + deviation @ inverse @ deviation - len(mean_q) + logdets)


PRIORS = {"standard": None, "learned": draw_diagonal(9)}
POSTERIORS = {"diagonal": draw_diagonal, "full": draw_full}
priors = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
posteriors = pytest.mark.parametrize("draw", POSTERIORS.values(), ids=POSTERIORS)


@given(mean_q=small, logvar_q=small, mean_p=small, logvar_p=small)
def test_kl_against_quadrature(mean_q, logvar_q, mean_p, logvar_p):
    q = scipy.stats.norm(mean_q, np.exp(0.5 * logvar_q))
    p = scipy.stats.norm(mean_p, np.exp(0.5 * logvar_p))
    reach = 12 * np.exp(0.5 * logvar_q)
    expected, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean_q - reach, mean_q + reach
    )
    arguments = (np.float32(v) for v in (mean_q, logvar_q, mean_p, logvar_p))
    assert float(kl_normal(*arguments)) == pytest.approx(expected, abs=2e-4, rel=1e-4)


def test_kl_to_the_standard_prior_is_zero_at_the_prior():
    zeros = np.zeros((3, 4), np.float32)
    assert not np.any(kl_normal(zeros, zeros))
    assert not np.any(kl(Diagonal(zeros, zeros)))
    unit = np.repeat(np.eye(3, dtype=np.float32)[:, :, None], 4, axis=2)
    assert not np.any(kl(Full(zeros, unit)))


def test_reparameterised_samples_have_the_stated_law():
    noise = jax.random.normal(jax.random.key(0), (1, 20_000))
    mean, logvar = np.full((2, 1, 20_000), [[[1.5]], [[-1.0]]], np.float32)
    z = sample(Diagonal(mean, logvar), noise)
    assert scipy.stats.kstest(np.ravel(z), "norm", (1.5, np.exp(-0.5))).pvalue > 1e-3


@posteriors
def test_samples_have_the_mean_and_the_covariance_of_the_posterior(draw):
    n = 20_000
    one = draw(1, batch=1)
    many = jax.tree.map(lambda leaf: np.repeat(leaf, n, axis=-1), one)
    z = np.asarray(sample(many, jax.random.normal(jax.random.key(1), (KAPPA, n))), np.float64)
    mean, covariance = moments(one, 0)
    deviation = z - mean[:, None]
    # Squared distances in units of the covariance follow the chi-squared law of kappa.
    distances = np.sum(deviation * np.linalg.solve(covariance, deviation), axis=0)
    assert scipy.stats.kstest(distances, "chi2", (KAPPA,)).pvalue > 1e-3
    variances = np.diagonal(covariance)
    assert np.all(np.abs(deviation.mean(axis=1)) < 4 * np.sqrt(variances / n))
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / n)
    assert np.all(np.abs(np.cov(z) - covariance) < 4 * error)


def test_each_sample_has_a_posterior_of_its_own():
    posterior = draw_full(2)
    noise = np.random.default_rng(3).normal(size=(KAPPA, BATCH)).astype(np.float32)
    z = np.asarray(sample(posterior, noise))
    for i in range(BATCH):
        expected = posterior.mean[:, i] + posterior.factor[:, :, i] @ noise[:, i]
        np.testing.assert_allclose(z[:, i], expected, rtol=1e-5, atol=1e-5)


@priors
@posteriors
@pytest.mark.parametrize("seed", range(5))
def test_kl_is_the_closed_form(draw, prior, seed):
    posterior = draw(seed)
    expected = [closed_form(moments(posterior, i), prior_moments(prior, i)) for i in range(BATCH)]
    np.testing.assert_allclose(kl(posterior, prior), expected, rtol=1e-4, atol=1e-4)


@priors
def test_kl_of_a_full_covariance_is_the_mean_of_log_ratios(prior):
    """By samples of SciPy's, without any closed form."""
    posterior = draw_full(4, batch=BATCH)
    own, other = (
        scipy.stats.multivariate_normal(*m)
        for m in (moments(posterior, 2), prior_moments(prior, 2))
    )
    z = own.rvs(200_000, random_state=np.random.default_rng(5))
    ratios = own.logpdf(z) - other.logpdf(z)
    error = ratios.std() / np.sqrt(len(ratios))
    assert abs(float(kl(posterior, prior)[2]) - ratios.mean()) < 4 * error


@priors
@posteriors
@pytest.mark.parametrize("seed", range(5))
def test_spectrum_holds_the_eigenvalues_relative_to_the_prior(draw, prior, seed):
    posterior = draw(seed)
    found = np.asarray(spectrum(posterior, prior))
    assert found.shape == (KAPPA, BATCH)
    for i in range(BATCH):
        covariance, of_prior = moments(posterior, i)[1], prior_moments(prior, i)[1]
        expected = scipy.linalg.eigh(covariance, of_prior, eigvals_only=True)
        mine = found[:, i] if isinstance(posterior, Full) else np.sort(found[:, i])
        np.testing.assert_allclose(mine, expected, rtol=2e-3, atol=1e-5)


def test_spectrum_under_the_standard_prior_is_that_of_the_covariance():
    posterior = draw_full(6)
    factor = np.asarray(posterior.factor, np.float64).transpose(2, 0, 1)
    expected = np.linalg.eigvalsh(factor @ factor.transpose(0, 2, 1)).T
    np.testing.assert_allclose(spectrum(posterior), expected, rtol=2e-3, atol=1e-5)


def test_spectrum_of_a_diagonal_posterior_stays_in_the_order_of_the_latents():
    posterior, prior = draw_diagonal(1), draw_diagonal(2)
    np.testing.assert_allclose(spectrum(posterior), np.exp(posterior.logvar), rtol=1e-6)
    expected = np.exp(posterior.logvar - prior.logvar)
    np.testing.assert_allclose(spectrum(posterior, prior), expected, rtol=1e-6)


def with_diagonal_factor(posterior: Diagonal) -> Full:
    scale_KB = np.exp(0.5 * posterior.logvar)
    return Full(posterior.mean, scale_KB[:, None, :] * np.eye(KAPPA, dtype=np.float32)[:, :, None])


@priors
def test_a_diagonal_factor_is_a_diagonal_posterior(prior):
    diagonal = draw_diagonal(7)
    full = with_diagonal_factor(diagonal)
    np.testing.assert_allclose(kl(full, prior), kl(diagonal, prior), rtol=1e-4, atol=1e-5)
    expected = np.sort(spectrum(diagonal, prior), axis=0)
    np.testing.assert_allclose(spectrum(full, prior), expected, rtol=1e-4, atol=1e-5)
    noise = np.random.default_rng(8).normal(size=(KAPPA, BATCH)).astype(np.float32)
    np.testing.assert_allclose(sample(full, noise), sample(diagonal, noise), rtol=1e-5, atol=1e-6)


MORE = 3
MASK = (np.arange(KAPPA + MORE) < KAPPA).astype(np.float32)


def padded(gaussian):
    """More latents: means and log variances of 0, and the factor of the identity."""
    if gaussian is None:
        return None
    if isinstance(gaussian, Diagonal):
        return Diagonal(*(np.pad(leaf, ((0, MORE), (0, 0))) for leaf in gaussian))
    factor = np.pad(gaussian.factor, ((0, MORE), (0, MORE), (0, 0)))
    factor[range(KAPPA, KAPPA + MORE), range(KAPPA, KAPPA + MORE)] = 1.0
    return Full(np.pad(gaussian.mean, ((0, MORE), (0, 0))), factor)


@priors
@posteriors
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_padding_changes_neither_divergence_nor_spectrum(draw, prior, scale):
    """Wherever the true eigenvalues lie: below those of the padding, above, or on both sides."""
    posterior = draw(11)
    if isinstance(posterior, Full):
        posterior = posterior._replace(factor=posterior.factor * np.float32(scale))
    else:
        posterior = posterior._replace(logvar=posterior.logvar + np.float32(2 * np.log(scale)))
    wide, wide_prior = padded(posterior), padded(prior)
    np.testing.assert_allclose(kl(wide, wide_prior), kl(posterior, prior), rtol=1e-5, atol=1e-5)
    ratios = np.asarray(jax.jit(spectrum)(wide, wide_prior, MASK))
    expected = np.asarray(spectrum(posterior, prior))
    np.testing.assert_allclose(ratios[:KAPPA], expected, rtol=2e-3, atol=1e-5 * scale**2)
    np.testing.assert_array_equal(ratios[KAPPA:], 1.0)


@priors
def test_padding_has_no_gradient(prior):
    posterior = draw_full(12)
    wide, wide_prior = padded(posterior), padded(prior)

    def total(posterior, prior):
        return jnp.sum(kl(posterior, prior))

    alone = jax.grad(total)(posterior, prior)
    together = jax.grad(total)(wide, wide_prior)
    np.testing.assert_allclose(together.mean[:KAPPA], alone.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together.factor[:KAPPA, :KAPPA], alone.factor, rtol=1e-5, atol=1e-6)
    assert not np.any(together.mean[KAPPA:])
    assert not np.any(together.factor[KAPPA:])
    assert not np.any(together.factor[:, KAPPA:])


@pytest.mark.parametrize("padding", [0, 3])
def test_small_eigenvalues_are_not_lost(padding):
    """Variances from 1e-8 to 1 in one latent space, as a trained encoder has them."""
    rng, kappa = np.random.default_rng(5), 8
    variances = np.geomspace(1e-8, 1.0, kappa)
    factors = []
    for _ in range(20):
        rotation, _ = np.linalg.qr(rng.normal(size=(kappa, kappa)))
        # The triangular factor of the same covariance, computed in double precision.
        factors.append(np.linalg.qr((rotation * np.sqrt(variances)).T)[1].T)
    factor = np.stack(factors, axis=2)
    wide = np.zeros((kappa + padding, kappa + padding, 20))
    wide[:kappa, :kappa] = factor
    wide[range(kappa, kappa + padding), range(kappa, kappa + padding)] = 1.0
    mask = (np.arange(kappa + padding) < kappa).astype(np.float32)
    posterior = Full(jnp.zeros((kappa + padding, 20)), jnp.asarray(wide, jnp.float32))
    found = np.asarray(spectrum(posterior, None, jnp.asarray(mask)))
    np.testing.assert_allclose(found[:kappa], variances[:, None] * np.ones((1, 20)), rtol=2e-2)
    np.testing.assert_array_equal(found[kappa:], 1.0)


@pytest.mark.parametrize("kappa", [1, 2, 5, 32, 128])
def test_singular_values_are_numpys(kappa):
    """Of factors of covariances with variances over four orders of magnitude, small ones too."""
    rng = np.random.default_rng(kappa)
    scales = np.exp(-rng.uniform(0.0, 4.5, (20, kappa, 1)))
    factors = scales * (np.eye(kappa) + np.tril(rng.normal(size=(20, kappa, kappa)), -1) * 0.2)
    found = jax.jit(distributions.squared_singular_values)(
        jnp.asarray(np.moveaxis(factors, 0, -1), jnp.float32)
    )
    wanted = np.sort(np.linalg.svd(factors, compute_uv=False) ** 2, axis=1).T
    np.testing.assert_allclose(np.sort(found, axis=0), wanted, rtol=1e-3)


def test_covariances_are_in_units_of_the_prior():
    rng = np.random.default_rng(0)
    mean = jnp.zeros((3, 2))
    factor = jnp.asarray(np.tril(rng.normal(size=(2, 3, 3))).transpose(1, 2, 0), jnp.float32)
    prior = Diagonal(mean, jnp.asarray(rng.normal(size=(3, 2)), jnp.float32))
    found = distributions.covariance(Full(mean, factor), prior)
    for b in range(2):
        scaled = np.exp(-0.5 * np.asarray(prior.logvar)[:, b])[:, None] * np.asarray(factor)[..., b]
        np.testing.assert_allclose(found[..., b], scaled @ scaled.T, rtol=1e-5, atol=1e-6)
