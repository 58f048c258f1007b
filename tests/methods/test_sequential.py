"""The loss of a sequential CVAE (eq. 3 of CVAE-dims), its double updates, and what it draws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import tiny_dict
from runs import run_sweep
from stepping import alone, numbers_of, start_of

import mdvae
from mdvae.analysis.autocorrelation import autocorrelation
from mdvae.data.keys import purpose_key
from mdvae.data.sequences import autocorrelation as of_process
from mdvae.methods.base import networks_of
from mdvae.methods.optimiser import Adam, make, repeated
from mdvae.settings.config import resolve
from mdvae.settings.grid import make_cells
from mdvae.store.models import Model

LENGTH, N = 3, 7


def cell_of(past, **fields):
    kinds = {"data": "sequences", "networks": "lstm", "model": "cvae"}
    grid = {"kappa": (3,), "d": (5,), "r": (2,)}
    (cell,) = make_cells(
        resolve(tiny_dict(grid, **kinds, **{"length": LENGTH, "past": past, **fields}))
    )
    return cell


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(LENGTH, 5, N)).astype(np.float32)


def score(cell, params, x, noise, past):
    batch = {"x": x[past:], **({"c": x[:past]} if past else {})}
    method = alone(cell, 10)
    state = start_of(method, cell)._replace(params=params)
    return jax.jit(method.score)(state, batch, noise, numbers_of(cell))


def test_the_loss_of_a_sequence_is_the_mean_over_its_points(x):
    """Each by itself: the loss of a model of the last of the points that it ends with."""
    full = cell_of(0)
    params = start_of(alone(full, 10), full, seed=5).params
    noise = np.random.default_rng(1).normal(size=(3, LENGTH, N)).astype(np.float32)
    found = score(full, params, x, noise, 0)
    # All but the first, which nothing comes before.
    later = score(cell_of(1), params, x, noise[:, 1:], 1)
    points = [
        score(cell_of(n, length=n + 1), params, x[: n + 1], noise[:, n : n + 1], n)
        for n in range(1, LENGTH)
    ]
    for name in ("nelbo", "recon", "kl", "ratio", "active"):
        mean = np.mean([point[name] for point in points], axis=0)
        np.testing.assert_allclose(later[name], mean, rtol=2e-5)
        assert found[name].shape == later[name].shape
    np.testing.assert_allclose(found["active"].sum(axis=0), 1.0, rtol=1e-6)
    # The first point: its encoder has seen it alone, its prior and its decoder nothing.
    alone_x = score(cell_of(0, length=2), params, x[:2], noise[:, :2], 0)
    second = score(cell_of(1, length=2), params, x[:2], noise[:, 1:2], 1)
    first = 2 * np.asarray(alone_x["nelbo"]) - np.asarray(second["nelbo"])
    both = first + (LENGTH - 1) * np.asarray(later["nelbo"])
    np.testing.assert_allclose(found["nelbo"], both / LENGTH, rtol=1e-4)


def test_params_given_twice_take_two_steps_of_their_own_count():
    """As two updates of Adam with the same gradient, which PyTorch makes of a repeated entry."""
    params = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([0.5])}
    optimiser = repeated(make(Adam(kind="adam"), 10), ("a",))
    numbers = {"learning_rate": jnp.float32(0.1)}
    schedule = optax.cosine_onecycle_schedule(10, 0.1, 0.3, 25.0, 1e4)
    with jax.numpy_dtype_promotion("standard"):
        rates = [float(schedule(step)) for step in range(4)]
    state, own = optimiser.init(params), params
    expected = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
    moments = {name: [0.0, 0.0, 0] for name in params}
    for step in range(4):
        grads = jax.tree.map(lambda leaf, n=step: leaf * (n + 1.0), own)
        for name, times in (("a", 2), ("b", 1)):
            g, moment = np.asarray(grads[name], np.float64), moments[name]
            for _ in range(times):
                moment[0] = 0.9 * moment[0] + 0.1 * g
                moment[1] = 0.999 * moment[1] + 0.001 * g**2
                moment[2] += 1
                m, v = moment[0] / (1 - 0.9 ** moment[2]), moment[1] / (1 - 0.999 ** moment[2])
                expected[name] = expected[name] - rates[step] * m / (np.sqrt(v) + 1e-8)
        own, state = optimiser.update(own, grads, state, jnp.int32(step), numbers)
        for name in own:
            np.testing.assert_allclose(own[name], expected[name], rtol=2e-5)


@pytest.mark.long
def test_a_shared_encoder_may_be_updated_twice(x):
    ends = {}
    for updates in ("once", "twice"):
        cell = cell_of(0, length=2, prior="shared", shared_updates=updates)
        method = alone(cell, 10)
        state = start_of(method, cell)
        noise = method.noise(jax.random.key(0), N)
        state, _ = jax.jit(method.step)(state, {"x": x[:2]}, noise, numbers_of(cell))
        ends[updates] = state.params
    same = jax.tree.map(np.array_equal, ends["once"], ends["twice"])
    assert all(jax.tree.leaves(same["decoder"]))
    assert not any(jax.tree.leaves(same["encoder"]))


def model_of(cell, params):
    return Model(cell, 0, 10, params, {})


@pytest.mark.long
def test_roll_outs_are_made_point_by_point():
    """With the networks called one by one; fewer points are known at first."""
    cell = cell_of(0)
    params = start_of(alone(cell, 10), cell, seed=5).params
    model = model_of(cell, params)
    drawn = model.roll_out(6, 4, noise=True)
    assert drawn.shape == (4, 6, 5)
    assert not np.array_equal(drawn, model.roll_out(6, 4, noise=True, draw=1))
    # Of what is given the model looks at as many points as it has seen in training.
    known = drawn[:, :5]
    after = model.roll_out(1, 4, known)
    assert after.shape == (4, 1, 5)
    np.testing.assert_array_equal(after, model.roll_out(1, 4, known[:, -2:]))
    assert np.abs(after - model.roll_out(1, 4, known[:, -1:])).max() > 1e-6
    mean, logvar = model.encode(np.asarray(drawn[:, :LENGTH]))
    assert mean.shape == logvar.shape == (4, LENGTH, 3)
    np.testing.assert_array_equal(model.generate(4), model.roll_out(LENGTH, 4))
    # A model of one point draws it from the prior given what is before it.
    single = model_of(cell_of(2), params)
    given = known[:, :2]
    drawn = single.generate(4, given)
    np.testing.assert_array_equal(drawn, model.roll_out(1, 4, given))
    networks = networks_of(single.cell)
    batch = {"c": jnp.asarray(np.moveaxis(given, 0, -1).astype(np.float32))}
    key = jax.random.fold_in(purpose_key(0, "generate"), 0)
    normal = jax.random.normal(jax.random.split(jax.random.fold_in(key, 0))[0], (3, 4))
    mean, logvar = networks.prior(params, batch)
    x_hat, _ = networks.decode(params, {}, mean + jnp.exp(0.5 * logvar) * normal, batch, False)
    np.testing.assert_allclose(drawn, np.moveaxis(np.asarray(x_hat), -1, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: m.roll_out(2, 4),
            r"past: shape \(4, 0, 5\) is not usable; it must be \(4, 2",
        ),
        (lambda m: m.roll_out(2, 4, np.ones((4, 1, 5))), "it must be"),
        (lambda m: m.roll_out(2, 4, np.ones((3, 2, 5))), "it must be"),
        (lambda m: m.decode(np.ones((4, 3))), "whose points need those before them; use roll_out"),
        (lambda m: m.nelbo(np.ones((4, 1, 5))), r"is conditional and needs \(4, 2, 5\)"),
    ],
)
def test_what_a_model_of_sequences_needs_is_said(call, message):
    cell = cell_of(2)
    model = model_of(cell, start_of(alone(cell, 10), cell).params)
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_model_of_no_sequences_has_no_roll_outs():
    (cell,) = make_cells(resolve(tiny_dict({"kappa": (3,), "d": (5,), "r": (2,)})))
    with pytest.raises(ValueError, match="is of no sequences; use generate"):
        model_of(cell, {}).roll_out(2)


def test_autocorrelations_have_intervals_that_hold_the_truth():
    """Of an AR(1) process, at 95 %, in 40 sets of sequences."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(40):
        e = rng.normal(size=(30, 400, 2))
        x = np.zeros_like(e)
        for t in range(1, 400):
            x[:, t] = 0.7 * x[:, t - 1] + e[:, t]
        found = autocorrelation(x[:, 100:] * [1.0, 0.1] + 3.0, 3)
        truth = of_process((0.7,), (), 3)
        np.testing.assert_allclose(found.values, truth, atol=0.05)
        inside.append((found.low <= truth) & (truth <= found.high))
    assert np.mean(inside, axis=0)[1] >= 0.85
    assert np.isnan(autocorrelation(x[:1], 2).low).all()
    with pytest.raises(ValueError, match="lags: 400 is not usable; it must be below 400"):
        autocorrelation(x, 400)


@pytest.mark.long
def test_a_roll_out_has_the_autocorrelation_of_the_process(tmp_path):
    """Of an AR(1) process, within the sampling errors of training data and of the roll-out."""
    config = tmp_path / "config.py"
    config.write_text(AR1)
    assert run_sweep(str(config), tmp_path / "run") == 0
    run = mdvae.load_run(tmp_path / "run")
    (cell,), n = run.cells, 400
    past = run.stretches(cell, 0, 2, n)
    drawn = run.roll_out(cell, 0, 100, n, past, noise=True)
    found, truth = autocorrelation(drawn[:, 20:], 5), of_process((0.7,), (), 5)
    # A series of so many points says no more of the process (Bartlett, 1946, for an AR(1)).
    of_training = 1.96 * np.sqrt((1 - 0.7**2) / run.config.data.n_train)
    error = np.hypot((found.high - found.values), of_training)
    assert np.all(np.abs(found.values - truth)[1:] <= 1.5 * error[1:])
    assert error[1] < 0.02
    scale = run.stretches(cell, 0, 100, n).std() / drawn.std()
    assert scale == pytest.approx(1.0, abs=0.05)


AR1 = """
from ml_collections import ConfigDict
from mdvae.settings.config import default_config


def get_config():
    config = default_config(data="sequences", networks="lstm")
    config.grid = ConfigDict({"kappa": (3,), "d": (2,), "r": (1,)})
    config.seeds = 1
    config.steps = 4_000
    config.batch_size = 200
    config.data.ar = (0.7,)
    config.data.ma = ()
    config.data.length, config.data.past = 3, 2
    config.method.model = "cvae"
    config.method.gamma = "closed"
    config.networks.hidden = (16,)
    return config
"""
