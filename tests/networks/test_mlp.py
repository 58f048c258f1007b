"""The MLPs against plain NumPy."""

import jax
import numpy as np
import pytest
import scipy.special

from mdvae.data.whitening import apply_whitening, fit_whitening
from mdvae.networks import layers
from mdvae.networks.base import Diagonal, shapes_of
from mdvae.networks.mlp import INPUT, MLP, make, mlp_networks
from mdvae.settings.grid import Sizes

ACTIVATIONS = {
    "relu": lambda h: np.maximum(h, 0),
    "smooth_relu": lambda h: np.where(h < 1, np.maximum(h, 0) ** 2 / 2, h - 0.5),
    "prelu": lambda h: np.where(h >= 0, h, 0.25 * h),
    "tanh": np.tanh,
    "softplus": lambda h: np.log1p(np.exp(h)),
    "silu": lambda h: h / (1 + np.exp(-h)),
    "linear": lambda h: h,
}
SIZES = Sizes(kappa=3, d=5, c=0, r=0)


def dense(layer, h):
    kernel = np.asarray(layer["kernel"], np.float64)
    bias = np.asarray(layer["bias"], np.float64)
    return kernel.reshape(len(kernel), -1).T @ h + bias.reshape(-1, 1)


def inputs():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(width, 6)).astype(np.float32) for width in (5, 3)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_forward_pass(activation, output):
    networks = mlp_networks(MLP(hidden=(7, 4), activation=activation, output=output), SIZES)
    params, stats = networks.init(jax.random.key(1))
    assert stats == {}
    x, z = inputs()
    act = ACTIVATIONS[activation]
    encoder, decoder = params["encoder"], params["decoder"]
    heads = dense(
        encoder["heads"], act(dense(encoder["Linear_1"], act(dense(encoder["Linear_0"], x))))
    )
    posterior, _ = networks.encode(params, stats, {"x": x}, True)
    assert isinstance(posterior, Diagonal)
    np.testing.assert_allclose(posterior.mean, heads[:3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(posterior.logvar, heads[3:], rtol=1e-4, atol=1e-5)
    h = act(dense(decoder["Linear_1"], act(dense(decoder["Linear_0"], z))))
    x_hat = dense(decoder["mean"], h)
    x_hat = scipy.special.expit(x_hat) if output == "sigmoid" else x_hat
    decoded, _ = networks.decode(params, stats, z, {"x": x}, True)
    np.testing.assert_allclose(decoded, x_hat, rtol=1e-4, atol=1e-5)
    assert decoder["Linear_0"]["kernel"].shape == (3, 4)
    assert networks.prior is None


def test_weights_start_uniform_within_the_fan_in():
    networks = mlp_networks(MLP(hidden=(64,)), Sizes(kappa=20, d=100, c=0, r=0))
    params, _ = networks.init(jax.random.key(0))
    for layer, fan_in in (("Linear_0", 100), ("heads", 64)):
        values = np.concatenate([np.ravel(v) for v in params["encoder"][layer].values()])
        bound = fan_in**-0.5
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.97 * bound
        assert abs(values.mean()) < 0.1 * bound


def test_decoder_layers_of_their_own():
    networks = mlp_networks(MLP(hidden=(7,), decoder_hidden=(4, 6)), SIZES)
    params, _ = shapes_of(networks)
    assert params["encoder"]["Linear_0"]["kernel"].shape == (5, 7)
    assert params["decoder"]["Linear_0"]["kernel"].shape == (3, 4)
    assert params["decoder"]["Linear_1"]["kernel"].shape == (4, 6)


def test_a_condition_makes_the_networks_of_a_cvae():
    alone, _ = shapes_of(make(MLP(hidden=(7,)), SIZES))
    told, _ = shapes_of(make(MLP(hidden=(7,)), SIZES._replace(c=2)))
    assert "Joint_0" not in alone["encoder"]
    assert told["encoder"]["Features_0"]["Linear_0"]["kernel"].shape == (2, 7)


@pytest.mark.parametrize("c", [0, 2])
def test_whitened_input_goes_into_the_encoder_alone(c):
    sizes = SIZES._replace(c=c)
    plain = make(MLP(hidden=(7,), encoder_input="raw"), sizes)
    networks = make(MLP(hidden=(7,), encoder_input="whitened"), sizes)
    assert plain.fit is None
    assert networks.fit is not None
    params, stats = networks.init(jax.random.key(0))
    expected, none = plain.init(jax.random.key(0))
    assert none == {}
    jax.tree.map(np.testing.assert_array_equal, params, expected)  # the map is not trained
    x, z = inputs()
    batch = {"x": x, "c": np.ones((c, 6), np.float32)} if c else {"x": x}
    # At first the map is the identity; then that of the training samples.
    unfitted, _ = networks.encode(params, stats, batch, True)
    jax.tree.map(np.testing.assert_allclose, unfitted, plain.encode(params, {}, batch, True)[0])
    samples = np.random.default_rng(1).normal(2.0, 3.0, (5, 500)).astype(np.float32)
    fitted = networks.fit({"x": samples, "c": np.ones((c, 500), np.float32)})
    jax.tree.map(np.testing.assert_array_equal, fitted, {INPUT: fit_whitening(samples)})
    assert jax.tree.structure(fitted) == jax.tree.structure(stats)
    for train in (True, False):
        found, after = networks.encode(params, fitted, batch, train)
        white = {**batch, "x": apply_whitening(fitted[INPUT], x)}
        jax.tree.map(
            np.testing.assert_array_equal, found, plain.encode(params, {}, white, train)[0]
        )
        jax.tree.map(np.testing.assert_array_equal, after, fitted)
        assert np.abs(np.asarray(found.mean) - np.asarray(unfitted.mean)).max() > 0.1
        decoded, _ = networks.decode(params, fitted, z, batch, train)
        expected, _ = plain.decode(params, {}, z, batch, train)
        np.testing.assert_array_equal(decoded, expected)


def test_the_slope_of_a_smooth_relu():
    """Its own rule of differentiation against differences, and where the pieces meet."""
    x = np.array([-3.0, -0.5, 0.0, 0.25, 0.75, 1.0, 1.5, 4.0])
    value = ACTIVATIONS["smooth_relu"]
    slope = (value(x + 1e-6) - value(x - 1e-6)) / 2e-6
    found = jax.vmap(jax.grad(layers.smooth_relu))(x.astype(np.float32))
    np.testing.assert_allclose(found, slope, atol=2e-6)
    bend = jax.vmap(jax.grad(jax.grad(layers.smooth_relu)))(x[[1, 3, 4, 6]].astype(np.float32))
    np.testing.assert_array_equal(bend, [0.0, 1.0, 1.0, 0.0])
