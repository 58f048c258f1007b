"""Units: back and forth, and what they do to a density."""

import numpy as np
import pytest
import scipy.stats

from mdvae.data.units import OWN, Units, to_networks, to_own
from mdvae.methods.objective import LOG_2PI, gaussian_terms, in_own_units

UNITS = Units(mean=np.array([1e6, -2.0, 0.0]), scale=12.0, log_variance=2 * np.log(12.0))


def test_there_and_back():
    own = np.random.default_rng(0).normal(UNITS.mean, 12.0, (500, 3))
    seen = to_networks(UNITS, own)
    assert seen.dtype == np.float32
    # In single precision a mean of a million would have left steps of 1/16.
    np.testing.assert_allclose(to_own(UNITS, seen), own, rtol=0, atol=1e-5)
    np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=0.2)
    np.testing.assert_allclose(seen.std(axis=0), 1.0, atol=0.1)


def test_data_without_units_are_left_alone():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(to_networks(OWN, x), x)
    assert to_own(OWN, x) is x
    assert OWN.log_scale == 0.0


@pytest.mark.parametrize("scale", [1e-12, 0.3, 12.0, 1e12])
def test_losses_in_own_units_are_those_of_the_density_there(scale):
    """Against scipy's density of N(mean + scale x_hat, scale^2 gamma) at own x."""
    rng = np.random.default_rng(1)
    d, log_gamma, kl = 4, -1.3, 2.5
    x, x_hat = rng.normal(size=(2, d, 6))
    recon = ((x - x_hat) ** 2).sum(axis=0)
    seen = gaussian_terms(recon, np.full(6, kl), np.float64(log_gamma), float(d))
    values = {"nelbo": seen.nelbo, "recon": recon, "kl": seen.kl, "log_gamma": log_gamma}
    found = in_own_units({**values, "ratio": recon}, np.log(scale), d)
    sd = scale * np.exp(log_gamma / 2)
    nll = -scipy.stats.norm.logpdf(scale * (7 + x), scale * (7 + x_hat), sd).sum(axis=0)
    np.testing.assert_allclose(found["nelbo"], nll + kl, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found["recon"], scale**2 * recon, rtol=1e-6)
    np.testing.assert_allclose(np.exp(found["log_gamma"]), sd**2, rtol=1e-6)
    assert found["kl"] is seen.kl
    assert found["ratio"] is recon
    # The same terms from the numbers in own units.
    own = 0.5 * (found["recon"] / sd**2 + d * (found["log_gamma"] + LOG_2PI)) + kl
    np.testing.assert_allclose(found["nelbo"], own, rtol=1e-5, atol=1e-3)
