"""RMSProp against a loop in NumPy: the rule of TensorFlow 1."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvae.methods.optimiser import Adam, RMSProp, make_rmsprop, rate_schedule

STEPS = 12


def gradients():
    """Some that are large, small, and zero throughout."""
    rng = np.random.default_rng(0)
    scales = np.array([1e3, 1.0, 1e-7, 0.0])[:, None]
    return [{"a": scales * rng.normal(size=(4, 3)), "b": rng.normal(size=2)} for _ in range(STEPS)]


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
@pytest.mark.parametrize(("decay", "eps", "scale"), [(0.9, 1e-10, 1.0), (0.5, 1e-3, 0.0)])
def test_the_rule(schedule, decay, eps, scale):
    settings = RMSProp(schedule=schedule, decay=decay, eps=eps, initial_scale=scale)
    optimiser = make_rmsprop(settings, STEPS)
    rate = rate_schedule(Adam(schedule="one_cycle"), STEPS)
    params = {"a": np.ones((4, 3)), "b": np.zeros(2)}
    squares = {name: np.full(x.shape, scale) for name, x in params.items()}
    with jax.enable_x64(True):
        found = jax.tree.map(jnp.asarray, params)
        state = optimiser.init(found)
        for i, grads in enumerate(gradients()):
            given = jax.tree.map(jnp.asarray, grads)
            numbers = {"learning_rate": jnp.float64(0.05)}
            found, state = optimiser.update(found, given, state, jnp.int32(i), numbers)
            with jax.numpy_dtype_promotion("standard"):
                now = 0.05 * (float(rate(i)) if schedule == "one_cycle" else 1.0)
            for name, g in grads.items():
                squares[name] = decay * squares[name] + (1.0 - decay) * g**2
                params[name] = params[name] - now * g / np.sqrt(squares[name] + eps)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-9), found, params)
    assert np.all(np.asarray(found["a"])[3] == 1.0)


def test_the_published_numbers_are_the_defaults():
    """Of TensorFlow 1, whose mean of squares starts at 1; 5e-4 is the rate of LMGAE."""
    found = RMSProp()
    assert (found.decay, found.eps, found.initial_scale) == (0.9, 1e-10, 1.0)
    assert (found.learning_rate, found.schedule) == (5e-4, "constant")
    state = make_rmsprop(found, STEPS).init({"a": jnp.zeros(3)})
    np.testing.assert_array_equal(state.nu["a"], 1.0)
