"""The MLPs against plain NumPy."""

import jax
import numpy as np
import pytest
import scipy.special

from mdvae.networks import mlp_networks

ACTIVATIONS = {
    "relu": lambda h: np.maximum(h, 0),
    "prelu": lambda h: np.where(h >= 0, h, 0.25 * h),
    "tanh": np.tanh,
    "softplus": lambda h: np.log1p(np.exp(h)),
    "linear": lambda h: h,
}


def dense(layer, h):
    kernel = np.asarray(layer["kernel"], np.float64)
    bias = np.asarray(layer["bias"], np.float64)
    return kernel.reshape(len(kernel), -1).T @ h + bias.reshape(-1, 1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_forward_pass(activation, output):
    networks = mlp_networks(3, 5, (7, 4), (), activation, output)
    params = networks.init(jax.random.key(1))
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=(3, 6)).astype(np.float32)
    act = ACTIVATIONS[activation]
    encoder, decoder = params["encoder"], params["decoder"]
    heads = dense(
        encoder["heads"], act(dense(encoder["Linear_1"], act(dense(encoder["Linear_0"], x))))
    )
    mean, logvar = networks.encode(params, x)
    np.testing.assert_allclose(mean, heads[:3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logvar, heads[3:], rtol=1e-4, atol=1e-5)
    h = act(dense(decoder["Linear_1"], act(dense(decoder["Linear_0"], z))))
    x_hat = dense(decoder["mean"], h)
    x_hat = scipy.special.expit(x_hat) if output == "sigmoid" else x_hat
    np.testing.assert_allclose(networks.decode(params, z), x_hat, rtol=1e-4, atol=1e-5)
    assert decoder["Linear_0"]["kernel"].shape == (3, 4)


def test_weights_start_uniform_within_the_fan_in():
    params = mlp_networks(20, 100, (64,), (), "relu", "linear").init(jax.random.key(0))
    for layer, fan_in in (("Linear_0", 100), ("heads", 64)):
        values = np.concatenate([np.ravel(v) for v in params["encoder"][layer].values()])
        bound = fan_in**-0.5
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.97 * bound
        assert abs(values.mean()) < 0.1 * bound


def test_decoder_layers_of_their_own():
    params = mlp_networks(3, 5, (7,), (4, 6), "relu", "linear").init(jax.random.key(0))
    assert params["encoder"]["Linear_0"]["kernel"].shape == (5, 7)
    assert params["decoder"]["Linear_0"]["kernel"].shape == (3, 4)
    assert params["decoder"]["Linear_1"]["kernel"].shape == (4, 6)
