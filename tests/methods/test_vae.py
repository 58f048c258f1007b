"""The VAE method: padding, held gamma, the optimiser, and a model with a known answer."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from stepping import (
    alone,
    assert_padded_equals_unpadded,
    batches,
    numbers_of,
    start_of,
)

from mdvae.methods.base import cell_numbers, make_method, networks_of
from mdvae.methods.padding import padded_shapes, true_shapes
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells, make_groups

STEPS = 30
SIZES = {"kappa": (3,), "d": (6,), "r": (2,)}


@pytest.mark.parametrize(
    ("activation", "output"),
    [
        ("prelu", "linear"),
        *(
            pytest.param(*pair, marks=pytest.mark.long)
            for pair in (("relu", "sigmoid"), ("tanh", "sigmoid"), ("softplus", "linear"))
        ),
    ],
)
def test_padded_equals_unpadded(tiny, activation, output):
    grid = {
        "learned": {"kappa": (2, 5), "d": (4, 9), "r": (2,)},
        "held": {**SIZES, "log_gamma": (-2.0,)},
    }
    config = tiny(grid, activation=activation, output=output, steps=STEPS, hidden=(8, 6))
    (group,) = make_groups(make_cells(config))
    assert (group.sizes.kappa, group.sizes.d) == (5, 9)
    held, small, narrow, short, _ = group.cells
    assert (narrow.sizes.d, short.sizes.kappa) == (9, 5)
    chosen = [held, narrow, short] if activation == "relu" else [small]
    assert_padded_equals_unpadded(group, chosen, STEPS)


def test_an_initial_state_depends_on_sizes_and_programs_alone(tiny):
    """Cells of one size start from one draw, whatever their numbers; `start` sets these."""
    grid = {
        "learned": {**SIZES, "log_gamma_init": (-1.0, 2.0)},
        "held": {**SIZES, "log_gamma": (-3.0,), "learning_rate": (0.1,)},
    }
    cells = make_cells(tiny(grid))
    (group,) = make_groups(cells)
    method = make_method(group, 20)
    drawn = [method.init(jax.random.key(0), cell) for cell in cells]
    for state in drawn[1:]:
        jax.tree.map(np.testing.assert_array_equal, state, drawn[0])
    starts = []
    for state, cell in zip(drawn, cells, strict=True):
        begun = method.start(state, numbers_of(cell))
        starts.append(float(begun.params["log_gamma"]))
        others = {name: leaf for name, leaf in begun.params.items() if name != "log_gamma"}
        assert others == {name: state.params[name] for name in others}
        assert begun._replace(params=None) == state._replace(params=None)
    assert starts == [-3.0, -1.0, 2.0]


def test_annealed_level_starts_at_log_gamma_init(tiny):
    grid = {**SIZES, "log_gamma": (-4.0,)}
    (held,) = make_cells(tiny(grid))
    (annealed,) = make_cells(tiny(grid, anneal=0.5, log_gamma_init=1.0))
    (learned,) = make_cells(tiny(SIZES, log_gamma_init=1.0))
    numbers = [cell_numbers(cell) for cell in (held, annealed, learned)]
    assert [each["log_gamma_start"] for each in numbers] == [-4.0, 1.0, 1.0]
    assert [each["held"] for each in numbers] == [1.0, 1.0, 0.0]
    assert [each["log_gamma"] for each in numbers] == [-4.0, -4.0, 0.0]
    assert (numbers[0]["kappa"], numbers[0]["d"]) == (3.0, 6.0)
    assert all(type(value) is float for each in numbers for value in each.values())


def test_held_log_gamma_stays_and_learned_one_moves(tiny):
    grid = {
        "held": {**SIZES, "log_gamma": (-2.5,)},
        "learned": {**SIZES, "log_gamma_init": (-2.5,)},
    }
    held, learned = make_cells(tiny(grid))
    (group,) = make_groups((held, learned))
    method = make_method(group, 20)
    step, ends = jax.jit(method.step), {}
    for cell in (held, learned):
        state = start_of(method, cell)
        for batch in batches(cell, 20):
            noise = method.noise(jax.random.key(1), batch["x"].shape[1])
            state, info = step(state, batch, noise, numbers_of(cell))
        ends[cell.name] = float(state.params["log_gamma"])
        assert np.isfinite(info["nelbo"])
    assert ends[held.name] == -2.5
    assert abs(ends[learned.name] + 2.5) > 1e-3


def test_annealed_log_gamma_moves_to_its_level(tiny):
    grid = {**SIZES, "log_gamma": (-6.0,)}
    (cell,) = make_cells(tiny(grid, anneal=0.5, steps=20))
    method = alone(cell, 20)
    state, step, seen = start_of(method, cell), jax.jit(method.step), []
    for batch in batches(cell, 20):
        noise = method.noise(jax.random.key(1), 40)
        state, info = step(state, batch, noise, numbers_of(cell))
        seen.append(float(info["log_gamma"]))
    np.testing.assert_allclose(seen, np.maximum(-0.6 * np.arange(20), -6.0), rtol=1e-5)
    assert float(state.params["log_gamma"]) == -6.0


def test_kl_warmup_starts_without_the_kl(tiny):
    """With its weight at 0 the first gradient is that of the reconstruction alone."""
    warm, plain = make_cells(tiny({**SIZES, "kl_warmup": (0.5, 0.0)}, steps=20))
    (group,) = make_groups((warm, plain))
    method, networks = make_method(group, 20), networks_of(warm)
    state, step = start_of(method, warm), jax.jit(method.step)
    noise, (batch,) = method.noise(jax.random.key(1), 40), batches(warm, 1)

    def nll(params):
        (mean, logvar), _ = networks.encode(params, state.stats, batch, True)
        z = mean + jnp.exp(logvar / 2) * noise
        x_hat, _ = networks.decode(params, state.stats, z, batch, True)
        log_gamma = params["log_gamma"]
        recon = jnp.sum((batch["x"] - x_hat) ** 2, axis=0)
        return 0.5 * jnp.mean(recon * jnp.exp(-log_gamma) + warm.sizes.d * log_gamma)

    expected = jax.grad(nll)(state.params)
    moments = {
        cell.name: step(state, batch, noise, numbers_of(cell))[0].opt.mu for cell in (warm, plain)
    }
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-7)
    jax.tree.map(lambda mu, grad: close(mu, 0.1 * grad), moments[warm.name], expected)
    kernel = "encoder", "heads", "kernel"
    plain_mu, grad = moments[plain.name], expected
    for part in kernel:
        plain_mu, grad = plain_mu[part], grad[part]
    assert np.abs(plain_mu - 0.1 * grad).max() > 1e-4


def test_beta_weighs_the_kl_in_the_loss_alone(tiny):
    """Gradients are linear in beta, composed with the warm-up; what is logged does not know it."""
    grid = {**SIZES, "beta": (1.0, 2.0, 4.0), "kl_warmup": (0.0, 0.5)}
    cells = make_cells(tiny(grid, steps=20))
    (group,) = make_groups(cells)
    method = make_method(group, 20)
    # In the middle of the warm-up.
    state, step = start_of(method, cells[0])._replace(step=jnp.int32(5)), jax.jit(method.step)
    noise, (batch,) = method.noise(jax.random.key(1), 40), batches(cells[0], 1)
    found = {
        (cell.value("beta"), cell.value("kl_warmup")): step(state, batch, noise, numbers_of(cell))
        for cell in cells
    }
    infos = [info for _, info in found.values()]
    for info in infos:
        assert info == infos[0]
    one, two, four = (found[beta, 0.0][0].opt.mu for beta in (1.0, 2.0, 4.0))
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(lambda a, b, c: close(c - b, 2 * (b - a)), one, two, four)
    heads = [mu["encoder"]["heads"]["kernel"] for mu in (one, two)]
    assert np.abs(heads[1] - heads[0]).max() > 1e-4
    # Half of the warm-up halves the weight, whatever it rises to.
    jax.tree.map(close, found[2.0, 0.5][0].opt.mu, one)
    # gamma is no part of the KL.
    assert one["log_gamma"] == pytest.approx(float(four["log_gamma"]), rel=1e-6)


def test_step_is_adam_under_the_one_cycle_schedule(tiny):
    (cell,) = make_cells(tiny(SIZES, learning_rate=0.02))
    method, networks = alone(cell, 50), networks_of(cell)
    schedule = optax.cosine_onecycle_schedule(50, 0.02, 0.3, 25.0, 1e4)
    optimiser = optax.adam(schedule)
    state = start_of(method, cell)
    stats, params = state.stats, state.params
    opt_state = optimiser.init(params)

    def loss(params, batch, noise):
        (mean, logvar), _ = networks.encode(params, stats, batch, True)
        z = mean + jnp.exp(logvar / 2) * noise
        x_hat, _ = networks.decode(params, stats, z, batch, True)
        recon = jnp.sum((batch["x"] - x_hat) ** 2, axis=0)
        nll = recon / (2 * jnp.exp(params["log_gamma"]))
        nll = nll + cell.sizes.d / 2 * (np.log(2 * np.pi) + params["log_gamma"])
        kl = 0.5 * jnp.sum(jnp.exp(logvar) + mean**2 - 1 - logvar, axis=0)
        return jnp.mean(nll + kl)

    @jax.jit
    def update(params, opt_state, batch, noise):
        value, grads = jax.value_and_grad(loss)(params, batch, noise)
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimiser.update(grads, opt_state, params)
        return value, optax.apply_updates(params, updates), opt_state

    step = jax.jit(method.step)
    for i, batch in enumerate(batches(cell, 50)):
        noise = method.noise(jax.random.key(i), batch["x"].shape[1])
        state, info = step(state, batch, noise, numbers_of(cell))
        value, params, opt_state = update(params, opt_state, batch, noise)
        assert float(info["nelbo"]) == pytest.approx(float(value), rel=2e-4)
    close = partial(np.testing.assert_allclose, rtol=2e-2, atol=1e-3)
    jax.tree.map(close, state.params, params)
    jax.tree.map(np.testing.assert_array_equal, state.stats, stats)
    assert int(state.step) == 50


@pytest.mark.usefixtures("optimised")
def test_linear_vae_reaches_probabilistic_pca(tiny):
    """The likelihood, noise level, spectrum and subspace of pPCA in closed form (Tipping, 1999).

    At the optimum of a linear VAE the bound is tight and the posterior variance of a latent is
    sigma^2 / lambda, lambda the eigenvalue of the data covariance that it explains (Lucas, 2019).
    """
    d, r, kappa, n, steps = 8, 3, 5, 2_000, 4_000
    rng = np.random.default_rng(4)
    basis, _ = np.linalg.qr(rng.normal(size=(d, r)))
    x = (basis * [2.0, 1.4, 1.0]) @ rng.normal(size=(r, n)) + 0.1 * rng.normal(size=(d, n)) + 0.3
    eigenvalues, vectors = np.linalg.eigh(np.cov(x, bias=True))
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    sigma2 = eigenvalues[kappa:].mean()
    logdet = np.log(eigenvalues[:kappa]).sum() + (d - kappa) * np.log(sigma2)
    expected_nelbo = 0.5 * (d * np.log(2 * np.pi) + logdet + d)

    config = tiny(
        {"kappa": (kappa,), "d": (d,), "r": (r,)},
        hidden=(),
        output="linear",
        activation="linear",
        learning_rate=0.02,
        steps=steps,
    )
    (cell,) = make_cells(config)
    method, numbers = alone(cell, steps), numbers_of(cell)
    batch = {"x": jnp.asarray(x, jnp.float32)}

    def body(state, key):
        return method.step(state, batch, method.noise(key, n), numbers)[0], None

    keys = jax.random.split(jax.random.key(0), steps)
    state, _ = jax.jit(lambda s: jax.lax.scan(body, s, keys))(start_of(method, cell, seed=1))
    score = jax.jit(lambda key: method.score(state, batch, method.noise(key, n), numbers))
    scores = [score(key) for key in keys[:20]]
    nelbo = np.mean([each["nelbo"] for each in scores])
    assert nelbo == pytest.approx(expected_nelbo, abs=0.03)
    assert float(jnp.exp(scores[0]["log_gamma"])) == pytest.approx(sigma2, rel=0.05)
    ratio = np.mean(scores[0]["ratio"], axis=1)
    ascending = np.sort(ratio)
    np.testing.assert_allclose(ascending[:r], sigma2 / eigenvalues[:r], rtol=0.1)
    assert np.all(ascending[r:] > 0.8)
    active = np.argsort(ratio)[:r]
    kernel = np.asarray(state.params["decoder"]["mean"]["kernel"])[active].T
    learned, _ = np.linalg.qr(kernel)
    overlap = np.linalg.svd(learned.T @ vectors[:, :r], compute_uv=False)
    assert overlap.min() > 0.999


def test_a_diverged_model_has_no_counts(tiny):
    (cell, *_) = make_cells(tiny())
    method, numbers = alone(cell, 20), numbers_of(cell)
    state, (batch,) = start_of(method, cell), batches(cell, 1)
    noise = method.noise(jax.random.key(1), 40)
    counted = method.score(state, batch, noise, numbers)["active"]
    np.testing.assert_array_equal(np.sum(counted, axis=0), 1.0)
    lost = state._replace(params=jax.tree.map(lambda leaf: leaf * np.nan, state.params))
    assert np.all(np.isnan(method.score(lost, batch, noise, numbers)["active"]))
    # Where one sample alone has no finite ratio, the others have their counts.
    batch["x"][:, 7] = np.nan
    found = np.asarray(method.score(state, batch, noise, numbers)["active"])
    assert np.all(np.isnan(found[:, 7]))
    others = np.arange(40) != 7
    np.testing.assert_array_equal(found[:, others], np.asarray(counted)[:, others])


def test_counts_are_those_below_the_threshold(tiny):
    (cell,) = make_cells(tiny({"kappa": (5,), "d": (6,), "r": (2,)}))
    method, numbers = alone(cell, 20), numbers_of(cell)
    state, (batch,) = start_of(method, cell), batches(cell, 1)
    noise = method.noise(jax.random.key(1), 40)
    ratio = np.asarray(method.score(state, batch, noise, numbers)["ratio"])
    analysis = dataclasses.replace(cell.analysis, ad_threshold=float(np.median(ratio)))
    strict = alone(dataclasses.replace(cell, analysis=analysis), 20)
    active = strict.score(state, batch, noise, numbers)["active"]
    counts = np.sum(ratio < analysis.ad_threshold, axis=0)
    assert len(set(counts)) > 1
    np.testing.assert_array_equal(np.argmax(active, axis=0), counts)


def test_shapes_of_a_group_are_those_of_its_largest_sizes(tiny):
    grid = {"a": {"kappa": (9,), "d": (4,), "r": (2,)}, "b": {**SIZES, "d": (7,)}}
    cells = make_cells(tiny(grid))
    (group,) = make_groups(cells)
    padded = padded_shapes(make_method(group, 20), group)
    assert padded.params["encoder"]["Linear_0"]["kernel"].shape == (7, 8)
    assert padded.params["encoder"]["heads"]["kernel"].shape == (8, 2, 9)
    assert padded.stats["input"].matrix.shape == (7, 7)
    true = true_shapes(alone(cells[0], 20), cells[0])
    assert true.params["encoder"]["heads"]["kernel"].shape == (8, 2, 9)
    assert true.params["decoder"]["mean"]["kernel"].shape == (8, 4)


@pytest.mark.parametrize("gamma", ["adam", "own_rate", "closed"])
def test_gamma_is_learned_as_its_name_says(tiny, gamma):
    """One step and a second: what the parameter becomes, and at which gamma the loss is."""
    rate = 5.0 if gamma == "own_rate" else 1.0
    (cell,) = make_cells(tiny(SIZES, **{"method.gamma": gamma, "method.gamma_rate": rate}))
    (plain,) = make_cells(tiny(SIZES))
    method, numbers = alone(cell, STEPS), numbers_of(cell)
    state, data = start_of(method, cell), batches(cell, 2)
    noise = method.noise(jax.random.key(1), data[0]["x"].shape[1])
    step = jax.jit(method.step)
    first, info = step(state, data[0], noise, numbers)
    other, _ = jax.jit(alone(plain, STEPS).step)(state, data[0], noise, numbers_of(plain))
    moved = float(other.params["log_gamma"])  # from 0, by Adam
    best = np.log(float(info["recon"]) / cell.sizes.d)
    if gamma == "closed":
        assert float(first.params["log_gamma"]) == pytest.approx(best, rel=1e-5)
        assert float(info["log_gamma"]) == pytest.approx(best, rel=1e-5)
        # At its own best gamma the loss is less than at any other.
        wanted = 0.5 * cell.sizes.d * (1.0 + best + np.log(2.0 * np.pi)) + float(info["kl"])
        assert float(info["nelbo"]) == pytest.approx(wanted, rel=1e-5)
        second, later = step(first, data[1], noise, numbers)
        mean = 0.5 * (best + float(later["log_gamma"]))  # over all steps so far
        assert float(second.params["log_gamma"]) == pytest.approx(mean, rel=1e-5)
    else:
        assert float(first.params["log_gamma"]) == pytest.approx(rate * moved, rel=1e-5)
        assert float(info["log_gamma"]) == 0.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"method.gamma": "closed", "grid": {**SIZES, "log_gamma_init": (-1.0, 0.0)}},
            "^grid.log_gamma_init: -1 has no effect with gamma 'closed'; remove the axis, or set",
        ),
        (
            {"method.gamma": "closed", "method.log_gamma": -2.0},
            "^method.gamma: 'closed' has no effect where log_gamma is held; it must be 'adam', or",
        ),
        (
            {"method.gamma": "closed", "method.gamma_rate": 2.0},
            "^method.gamma_rate: 2 has no effect with gamma 'closed'; it must be 1, or gamma 'own_",
        ),
    ],
)
def test_ways_of_gamma_that_do_not_go_together_are_refused(tiny, fields, message):
    with pytest.raises(ConfigError, match=message):
        make_cells(tiny(**{"grid": SIZES, **fields}))
