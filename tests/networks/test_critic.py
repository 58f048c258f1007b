"""The critic of codes against NumPy, its padding, and the published sizes and initial law."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvae.methods import distributions
from mdvae.networks.base import Point
from mdvae.networks.critic import critic_of
from mdvae.networks.layers import kernel_law
from mdvae.networks.mlp import MLP, make
from mdvae.settings.grid import Sizes


def parameters(tree):
    return sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(tree))


def test_published_sizes():
    """Encoder, decoder and critic of the published MNIST code, kappa = 64."""
    settings = MLP(hidden=(1024,) * 4, heads="point", initial="glorot", encoder_input="raw")
    params, stats = jax.eval_shape(make(settings, Sizes(64, 784, 0, 0)).init, jax.random.key(0))
    assert stats == {}
    assert parameters(params["encoder"]) == 4_018_240
    assert parameters(params["decoder"]) == 4_018_960
    critic = critic_of(64, (1024,) * 4, "relu", "glorot")
    assert parameters(jax.eval_shape(critic.init, jax.random.key(0))) == 3_216_385


def test_value_and_penalty():
    critic = critic_of(3, (6, 5), "tanh")
    params, z = (
        jax.jit(critic.init)(jax.random.key(0)),
        np.random.default_rng(0).normal(size=(3, 8)),
    )
    scale = np.array([0.5, 1.0, 0.0])[:, None]

    layers = jax.tree.map(np.asarray, params)

    def value(z):
        h = z
        for name in ("Linear_0", "Linear_1"):
            h = np.tanh(layers[name]["kernel"].T @ h + layers[name]["bias"][:, None])
        return (layers["value"]["kernel"].T @ h + layers["value"]["bias"][:, None])[0]

    z_KB = jnp.asarray(z, jnp.float32)
    np.testing.assert_allclose(critic.apply(params, z_KB), value(z), rtol=1e-4, atol=1e-5)
    ends = [[value(z + sign * 1e-3 * np.eye(3)[:, [k]]) for k in range(3)] for sign in (1, -1)]
    slope = (np.array(ends[0]) - np.array(ends[1])) / 2e-3
    for factor, given in ((1.0, ()), (scale, (jnp.asarray(scale, jnp.float32),))):
        length = np.linalg.norm(factor * slope, axis=0)
        penalty, mean = critic.penalty(params, z_KB, *given)
        assert float(penalty) == pytest.approx(np.mean((length - 1.0) ** 2), rel=1e-3)
        assert float(mean) == pytest.approx(np.mean(length), rel=1e-3)
        # Slopes below 1 may cost nothing; of longer latents half are.
        longer = 1.0 / np.median(length)
        scales = jnp.asarray(longer * np.broadcast_to(factor, (3, 1)), jnp.float32)
        beyond = longer * length - 1.0
        penalty, mean = critic.penalty(params, z_KB, scales, one_sided=True)
        assert float(penalty) == pytest.approx(np.mean(np.maximum(beyond, 0.0) ** 2), rel=1e-3)
        assert float(mean) == pytest.approx(longer * np.mean(length), rel=1e-3)


def test_padding_by_zeros_changes_nothing():
    """Value, penalty and their gradients; of padded rows of the first kernel they are 0."""
    narrow, wide = critic_of(3, (6,), "relu"), critic_of(5, (6,), "relu")
    params = jax.jit(narrow.init)(jax.random.key(1))
    kernel = jnp.pad(params["Linear_0"]["kernel"], ((0, 2), (0, 0)))
    padded = {**params, "Linear_0": {**params["Linear_0"], "kernel": kernel}}
    z = jax.random.normal(jax.random.key(2), (3, 9))
    z_wide = jnp.pad(z, ((0, 2), (0, 0)))

    def loss(critic, params, z):
        return jnp.mean(critic.apply(params, z)) + critic.penalty(params, z)[0]

    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    value, gradient = jax.jit(jax.value_and_grad(partial(loss, narrow)))(params, z)
    wide_value, wide_gradient = jax.jit(jax.value_and_grad(partial(loss, wide)))(padded, z_wide)
    close(wide_value, value)
    rows = wide_gradient["Linear_0"].pop("kernel")
    close(rows[:3], gradient["Linear_0"].pop("kernel"))
    np.testing.assert_array_equal(rows[3:], 0.0)
    jax.tree.map(close, wide_gradient, gradient)


def test_a_dead_critic_has_a_finite_gradient():
    critic = critic_of(2, (3,), "relu")
    shapes = jax.eval_shape(critic.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: -jnp.ones(leaf.shape), shapes)
    z = jnp.ones((2, 4))
    differentiated = jax.value_and_grad(lambda params: critic.penalty(params, z), has_aux=True)
    (value, length), gradient = jax.jit(differentiated)(params)
    assert (float(value), float(length)) == (1.0, 0.0)
    assert all(np.all(leaf == 0.0) for leaf in jax.tree.leaves(gradient))


def test_glorots_law():
    """Normal of variance 2 / (inputs + outputs), cut off at two deviations; biases of 0."""
    settings = MLP(hidden=(100,), initial="glorot", encoder_input="raw", skip=True)
    critic = critic_of(40, (100,), "relu", "glorot")

    @jax.jit
    def init(key):
        return {**make(settings, Sizes(40, 60, 0, 0)).init(key)[0], "critic": critic.init(key)}

    params = init(jax.random.key(0))
    for place, inputs, outputs in (
        (params["encoder"]["Linear_0"], 60, 100),
        (params["encoder"]["heads"], 160, 40),
        (params["encoder"]["heads_skip"], 160, 40),
        (params["decoder"]["mean"], 140, 60),
        (params["critic"]["Linear_0"], 40, 100),
    ):
        kernel = np.asarray(place["kernel"]).ravel()
        deviation = np.sqrt(2.0 / (inputs + outputs))
        # Four standard errors: of a mean, and of a standard deviation of light tails.
        error = 4.0 / np.sqrt(kernel.size)
        assert abs(kernel.mean()) < error * deviation
        assert kernel.std() == pytest.approx(deviation, rel=error)
        cut = 2.0 * deviation / 0.87962566
        assert 0.95 * cut < np.abs(kernel).max() <= cut * (1 + 1e-6)
        assert not np.any(place.get("bias", 0.0))
    assert kernel_law("uniform", 10) is None


def test_points_have_no_variance():
    networks = make(MLP(hidden=(7,), heads="point", encoder_input="raw"), Sizes(3, 5, 0, 0))
    params, stats = jax.jit(networks.init)(jax.random.key(0))
    assert params["encoder"]["heads"]["kernel"].shape == (7, 3)
    posterior, _ = networks.encode(params, stats, {"x": jnp.ones((5, 4))}, True)
    assert isinstance(posterior, Point)
    assert posterior.mean.shape == (3, 4)
    noise = jnp.ones((3, 4))
    np.testing.assert_array_equal(distributions.sample(posterior, noise), posterior.mean)
    np.testing.assert_array_equal(distributions.spectrum(posterior), 0.0)
    assert np.all(distributions.kl(posterior) == np.inf)
