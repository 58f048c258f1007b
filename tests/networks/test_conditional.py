"""Conditional MLPs against plain NumPy, and Remark 1 on them."""

import jax
import numpy as np
import pytest
import scipy.special

from mdvae.networks import conditional_networks, to_standard_prior

KAPPA, D, C = 3, 5, 2


def make(prior="learned", attention=True, hidden=(7, 4)):
    return conditional_networks(
        KAPPA, D, C, hidden, (), "tanh", "sigmoid", prior, attention, attention_hidden=6
    )


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
    params = networks.init(jax.random.key(1))
    x, z, c = inputs()
    encoder, decoder, prior = params["encoder"], params["decoder"], params["prior"]

    joint = encoder["Joint_0"]
    h = dense(joint["input"], x) + dense(joint["condition"], features(encoder["Features_0"], c))
    heads = dense(encoder["heads"], np.tanh(dense(encoder["Linear_0"], np.tanh(h))))
    mean, logvar = networks.encode(params, x, c)
    np.testing.assert_allclose(mean, heads[:KAPPA], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logvar, heads[KAPPA:], rtol=1e-4, atol=1e-5)

    weights = scipy.special.expit(features(decoder["attention"], c)) if attention else 1.0
    joint = decoder["Joint_0"]
    h = dense(joint["input"], z * weights)
    h = h + dense(joint["condition"], features(decoder["Features_0"], c))
    x_hat = dense(decoder["mean"], np.tanh(dense(decoder["Linear_0"], np.tanh(h))))
    expected = scipy.special.expit(x_hat)
    np.testing.assert_allclose(networks.decode(params, z, c), expected, rtol=1e-4, atol=1e-5)

    heads = dense(prior["heads"], features(prior["Features_0"], c))
    assert networks.prior is not None
    np.testing.assert_allclose(np.concatenate(networks.prior(params, c)), heads, rtol=1e-4)


def test_standard_prior_has_no_params():
    networks = make(prior="standard")
    assert networks.prior is None
    assert set(networks.init(jax.random.key(0))) == {"encoder", "decoder"}


def test_layers_on_two_inputs_start_within_their_common_fan_in():
    networks = conditional_networks(
        50, 30, 4, (64,), (), "relu", "linear", "standard", False, attention_hidden=0
    )
    joint = networks.init(jax.random.key(0))["encoder"]["Joint_0"]
    for name, rows in (("input", 30), ("condition", 50)):
        kernel = np.asarray(joint[name]["kernel"])
        assert kernel.shape == (rows, 64)
        assert 0.97 * 80**-0.5 < np.abs(kernel).max() <= 80**-0.5
    assert "bias" not in joint["condition"]


def test_standard_prior_of_remark_1():
    """Posterior and samples, in units of the prior; see the method's test for the loss."""
    networks = make()
    params = networks.init(jax.random.key(2))
    moved = to_standard_prior(params)
    assert "prior" not in moved
    assert "prior" in params  # the given params are left as they were
    x, noise, c = inputs()
    assert networks.prior is not None
    prior_mean, prior_logvar = networks.prior(params, c)
    mean, logvar = networks.encode(params, x, c)
    moved_mean, moved_logvar = networks.encode(moved, x, c)
    deviation = (mean - prior_mean) * np.exp(-0.5 * np.asarray(prior_logvar))
    np.testing.assert_allclose(moved_mean, deviation, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved_logvar, logvar - prior_logvar, rtol=1e-5, atol=1e-6)
    z = prior_mean + np.exp(0.5 * np.asarray(prior_logvar)) * noise
    x_hat = networks.decode(params, z, c)
    np.testing.assert_allclose(networks.decode(moved, noise, c), x_hat, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="have no learned prior"):
        to_standard_prior(moved)
