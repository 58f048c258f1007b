"""Conditional MLPs against plain NumPy, and Remark 1 on them."""

import jax
import numpy as np
import pytest
import scipy.special

from mdvae.methods import distributions
from mdvae.networks.base import Diagonal, Full, with_standard_prior
from mdvae.networks.conditional import conditional_networks
from mdvae.networks.mlp import MLP
from mdvae.settings.grid import Sizes

KAPPA, D, C = 3, 5, 2
SIZES = Sizes(kappa=KAPPA, d=D, c=C, r=0)


def make(prior="learned", attention=True, hidden=(7, 4)):
    settings = MLP(
        hidden=hidden, activation="tanh", prior=prior, attention=attention, attention_hidden=6
    )
    return conditional_networks(settings, SIZES)


def dense(layer, h):
    kernel = np.asarray(layer["kernel"], np.float64)
    bias = np.asarray(layer["bias"]).reshape(-1, 1) if "bias" in layer else 0.0
    return kernel.reshape(len(kernel), -1).T @ h + bias


def features(part, c):
    return dense(part["Linear_1"], np.tanh(dense(part["Linear_0"], c)))


def inputs():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(width, 6)).astype(np.float32) for width in (D, KAPPA, C)]


@pytest.mark.parametrize("attention", [True, False])
def test_forward_pass(attention):
    networks = make(attention=attention)
    params, stats = networks.init(jax.random.key(1))
    assert stats == {}
    x, z, c = inputs()
    batch = {"x": x, "c": c}
    encoder, decoder, prior = params["encoder"], params["decoder"], params["prior"]

    joint = encoder["Joint_0"]
    h = dense(joint["input"], x) + dense(joint["condition"], features(encoder["Features_0"], c))
    heads = dense(encoder["heads"], np.tanh(dense(encoder["Linear_0"], np.tanh(h))))
    posterior, _ = networks.encode(params, stats, batch, True)
    np.testing.assert_allclose(posterior.mean, heads[:KAPPA], rtol=1e-4, atol=1e-5)
    assert isinstance(posterior, Diagonal)
    np.testing.assert_allclose(posterior.logvar, heads[KAPPA:], rtol=1e-4, atol=1e-5)

    weights = scipy.special.expit(features(decoder["attention"], c)) if attention else 1.0
    joint = decoder["Joint_0"]
    h = dense(joint["input"], z * weights)
    h = h + dense(joint["condition"], features(decoder["Features_0"], c))
    x_hat = dense(decoder["mean"], np.tanh(dense(decoder["Linear_0"], np.tanh(h))))
    expected = scipy.special.expit(x_hat)
    decoded, _ = networks.decode(params, stats, z, batch, True)
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-5)

    heads = dense(prior["heads"], features(prior["Features_0"], c))
    assert networks.prior is not None
    np.testing.assert_allclose(np.concatenate(networks.prior(params, batch)), heads, rtol=1e-4)


def test_standard_prior_has_no_params():
    networks = make(prior="standard")
    assert networks.prior is None
    params, _ = networks.init(jax.random.key(0))
    assert set(params) == {"encoder", "decoder"}


def test_layers_on_two_inputs_start_within_their_common_fan_in():
    settings = MLP(hidden=(64,), output="linear")
    networks = conditional_networks(settings, Sizes(kappa=50, d=30, c=4, r=0))
    params, _ = networks.init(jax.random.key(0))
    joint = params["encoder"]["Joint_0"]
    for name, rows in (("input", 30), ("condition", 50)):
        kernel = np.asarray(joint[name]["kernel"])
        assert kernel.shape == (rows, 64)
        assert 0.97 * 80**-0.5 < np.abs(kernel).max() <= 80**-0.5
    assert "bias" not in joint["condition"]


def test_standard_prior_of_remark_1():
    """Posterior and samples, in units of the prior; see the method's test for the loss."""
    networks = make()
    params, stats = networks.init(jax.random.key(2))
    moved = with_standard_prior(networks)
    assert moved.prior is None
    assert networks.prior is not None  # the given networks are left as they were
    x, noise, c = inputs()
    batch = {"x": x, "c": c}
    prior_mean, prior_logvar = networks.prior(params, batch)
    (mean, logvar), _ = networks.encode(params, stats, batch, False)
    (moved_mean, moved_logvar), _ = moved.encode(params, stats, batch, False)
    deviation = (mean - prior_mean) * np.exp(-0.5 * np.asarray(prior_logvar))
    np.testing.assert_allclose(moved_mean, deviation, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved_logvar, logvar - prior_logvar, rtol=1e-5, atol=1e-6)
    z = prior_mean + np.exp(0.5 * np.asarray(prior_logvar)) * noise
    x_hat, _ = networks.decode(params, stats, z, batch, False)
    moved_x_hat, _ = moved.decode(params, stats, noise, batch, False)
    np.testing.assert_allclose(moved_x_hat, x_hat, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="have no learned prior"):
        with_standard_prior(moved)


def test_standard_prior_under_a_full_covariance():
    """The divergence and the spectrum under N(0, I) are those under the learned prior."""
    plain = make()
    assert plain.prior is not None
    params, stats = plain.init(jax.random.key(2))
    x, noise, c = inputs()
    batch = {"x": x, "c": c}
    rng = np.random.default_rng(3)
    factor = np.tril(rng.normal(size=(6, KAPPA, KAPPA))).transpose(1, 2, 0).astype(np.float32)

    def encode(params, stats, batch, train):
        posterior, stats = plain.encode(params, stats, batch, train)
        return Full(posterior.mean, factor), stats

    networks = plain._replace(encode=encode)
    before, _ = networks.encode(params, stats, batch, False)
    after, _ = with_standard_prior(networks).encode(params, stats, batch, False)
    assert isinstance(after, Full)
    prior = plain.prior(params, batch)
    kl = distributions.kl(before, prior)
    np.testing.assert_allclose(distributions.kl(after), kl, rtol=1e-4)
    spectrum = distributions.spectrum(before, prior)
    np.testing.assert_allclose(distributions.spectrum(after), spectrum, rtol=1e-4, atol=1e-5)
    # A sample is the same sample, in units of the prior.
    z = prior.mean + np.exp(0.5 * np.asarray(prior.logvar)) * distributions.sample(after, noise)
    np.testing.assert_allclose(z, distributions.sample(before, noise), rtol=1e-4, atol=1e-5)
