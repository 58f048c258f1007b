"""The VAE method: padding, held gamma, the optimiser, and a model with a known answer."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mdvae.ensemble import pad_like, unpad_like
from mdvae.grid import make_cells, make_groups
from mdvae.methods import INPUT, Hparams, cell_hparams
from mdvae.methods.vae import vae

STEPS = 200


def hparams_of(cell) -> Hparams:
    return jax.tree.map(np.float32, cell_hparams(cell))


def batches(cell, n, size=40):
    rng = np.random.default_rng(cell.d)
    return rng.uniform(0, 1, (n, cell.d, size)).astype(np.float32)


@pytest.mark.parametrize(
    ("activation", "output"),
    [("relu", "sigmoid"), ("prelu", "linear"), ("tanh", "sigmoid"), ("softplus", "linear")],
)
def test_padded_equals_unpadded(tiny, activation, output):
    grid = {
        "learned": {"kappa": (2, 5), "d": (4, 9), "r": (2,)},
        "held": {"kappa": (3,), "d": (6,), "r": (2,), "log_gamma": (-2.0,)},
    }
    config = tiny(grid, activation=activation, output=output, steps=STEPS, hidden=(8, 6))
    (group,) = make_groups(make_cells(config))
    padded_method = vae(group, STEPS, 0.3)
    widest = dataclasses.replace(group.cells[0], kappa=group.kappa, d=group.d)
    template = jax.eval_shape(partial(padded_method.init, cell=widest), jax.random.key(0))
    for cell in group.cells:
        (alone,) = make_groups((cell,))
        method = vae(alone, STEPS, 0.3)
        hparams = hparams_of(cell)
        state = method.init(jax.random.key(2), cell)
        padded = pad_like(state, template)
        data = batches(cell, STEPS)
        noise = np.asarray(jax.random.normal(jax.random.key(1), (STEPS, group.kappa, 40)))
        wide = np.pad(data, ((0, 0), (0, group.d - cell.d), (0, 0)))

        def run(method, state, data, noise, hparams=hparams):
            def body(state, inputs):
                x, eps = inputs
                return method.step(state, {"x": x}, eps, hparams)

            return jax.jit(lambda s: jax.lax.scan(body, s, (data, noise)))(state)

        # The first moment of Adam after one step is (1 - b1) times the gradient.
        once, once_info = run(method, state, data[:1], noise[:1, : cell.kappa])
        once_padded, once_padded_info = run(padded_method, padded, wide[:1], noise[:1])
        grads = unpad_like(once_padded.opt_state.mu, once.opt_state.mu)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-6), grads, once.opt_state.mu
        )
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), once_padded_info, once_info)

        end, info = run(method, state, data, noise[:, : cell.kappa])
        end_padded, info_padded = run(padded_method, padded, wide, noise)
        np.testing.assert_allclose(info_padded.nelbo, info.nelbo, rtol=1e-3, atol=1e-3)
        close = partial(np.testing.assert_allclose, rtol=2e-2, atol=2e-3)
        jax.tree.map(close, unpad_like(end_padded.params, end.params), end.params)
        # What was padded is still exactly zero.
        rebuilt = pad_like(unpad_like(end_padded.params, end.params), template.params)
        jax.tree.map(np.testing.assert_array_equal, rebuilt, end_padded.params)

        evaluation = jax.jit(method.evaluate)(end, {"x": data[0]}, noise[0, : cell.kappa], hparams)
        evaluation_padded = jax.jit(padded_method.evaluate)(
            end_padded, {"x": wide[0]}, noise[0], hparams
        )
        np.testing.assert_allclose(evaluation_padded.nelbo, evaluation.nelbo, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(
            evaluation_padded.ratios[: cell.kappa], evaluation.ratios, rtol=1e-2
        )
        np.testing.assert_allclose(evaluation_padded.ratios[cell.kappa :], 1.0)


def test_held_log_gamma_stays_and_learned_one_moves(tiny):
    grid = {
        "held": {"kappa": (3,), "d": (6,), "r": (2,), "log_gamma": (-2.5,)},
        "learned": {"kappa": (3,), "d": (6,), "r": (2,), "log_gamma_init": (-2.5,)},
    }
    held, learned = make_cells(tiny(grid))
    (group,) = make_groups((held, learned))
    method = vae(group, 20, 0.3)
    ends = {}
    for cell in (held, learned):
        hparams = hparams_of(cell)
        state = method.init(jax.random.key(0), cell)
        state = state._replace(params={**state.params, "log_gamma": hparams.log_gamma_init})
        step = jax.jit(method.step)
        for x in batches(cell, 20):
            noise = method.noise(jax.random.key(1), x.shape[1])
            state, info = step(state, {"x": x}, noise, hparams)
        ends[cell.name] = float(state.params["log_gamma"])
        assert np.isfinite(info.nelbo)
    assert ends[held.name] == -2.5
    assert abs(ends[learned.name] + 2.5) > 1e-3


def test_annealed_log_gamma_moves_to_its_level(tiny):
    grid = {"kappa": (3,), "d": (6,), "r": (2,), "log_gamma": (-6.0,)}
    (cell,) = make_cells(tiny(grid, anneal=0.5, steps=20))
    (group,) = make_groups((cell,))
    method, hparams = vae(group, 20, 0.3), hparams_of(cell)
    state, step, seen = method.init(jax.random.key(0), cell), jax.jit(method.step), []
    for x in batches(cell, 20):
        state, info = step(state, {"x": x}, method.noise(jax.random.key(1), 40), hparams)
        seen.append(float(info.log_gamma))
    np.testing.assert_allclose(seen, np.maximum(-0.6 * np.arange(20), -6.0), rtol=1e-5)
    assert float(state.params["log_gamma"]) == -6.0


def test_kl_warmup_starts_without_the_kl(tiny):
    """With its weight at 0 the first gradient is that of the reconstruction alone."""
    grid = {"kappa": (3,), "d": (6,), "r": (2,), "kl_warmup": (0.5, 0.0)}
    warm, plain = make_cells(tiny(grid, steps=20))
    (group,) = make_groups((warm, plain))
    method = vae(group, 20, 0.3)
    state, step = method.init(jax.random.key(0), warm), jax.jit(method.step)
    noise, x = method.noise(jax.random.key(1), 40), batches(warm, 1)[0]

    def nll(params):
        mean, logvar = method.networks.encode(params, x, None)
        x_hat = method.networks.decode(params, mean + jnp.exp(logvar / 2) * noise, None)
        log_gamma = params["log_gamma"]
        recon = jnp.sum((x - x_hat) ** 2, axis=0)
        return 0.5 * jnp.mean(recon * jnp.exp(-log_gamma) + warm.d * log_gamma)

    trained = {name: part for name, part in state.params.items() if name != INPUT}
    fixed = {INPUT: state.params[INPUT]}
    expected = jax.grad(lambda trained: nll({**trained, **fixed}))(trained)
    moments = {
        cell.name: step(state, {"x": x}, noise, hparams_of(cell))[0].opt_state.mu
        for cell in (warm, plain)
    }
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-7)
    jax.tree.map(lambda mu, grad: close(mu, 0.1 * grad), moments[warm.name], expected)
    kernel = "encoder", "heads", "kernel"
    plain_mu, grad = moments[plain.name], expected
    for part in kernel:
        plain_mu, grad = plain_mu[part], grad[part]
    assert np.abs(plain_mu - 0.1 * grad).max() > 1e-4


def test_step_is_adam_under_the_one_cycle_schedule(tiny):
    (cell,) = make_cells(tiny({"kappa": (3,), "d": (6,), "r": (2,)}, learning_rate=0.02))
    (group,) = make_groups((cell,))
    method, hparams = vae(group, 50, 0.3), hparams_of(cell)
    schedule = optax.cosine_onecycle_schedule(50, 0.02, 0.3, 25.0, 1e4)
    optimiser = optax.adam(schedule)
    state = method.init(jax.random.key(0), cell)
    fixed = {INPUT: state.params[INPUT]}
    params = {name: part for name, part in state.params.items() if name != INPUT}
    opt_state = optimiser.init(params)

    def loss(trained, x, noise):
        params = {**trained, **fixed}
        mean, logvar = method.networks.encode(params, x, None)
        x_hat = method.networks.decode(params, mean + jnp.exp(logvar / 2) * noise, None)
        recon = jnp.sum((x - x_hat) ** 2, axis=0)
        nll = recon / (2 * jnp.exp(params["log_gamma"]))
        nll = nll + cell.d / 2 * (np.log(2 * np.pi) + params["log_gamma"])
        kl = 0.5 * jnp.sum(jnp.exp(logvar) + mean**2 - 1 - logvar, axis=0)
        return jnp.mean(nll + kl)

    step, gradient = jax.jit(method.step), jax.jit(jax.value_and_grad(loss))
    for i, x in enumerate(batches(cell, 50)):
        noise = method.noise(jax.random.key(i), x.shape[1])
        state, info = step(state, {"x": x}, noise, hparams)
        value, grads = gradient(params, x, noise)
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimiser.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        assert float(info.nelbo) == pytest.approx(float(value), rel=2e-4)
    close = partial(np.testing.assert_allclose, rtol=2e-2, atol=1e-3)
    jax.tree.map(close, state.params, {**params, **fixed})


def test_linear_vae_reaches_probabilistic_pca(tiny):
    """The likelihood, noise level, spectrum and subspace of pPCA in closed form (Tipping, 1999).

    At the optimum of a linear VAE the bound is tight and the posterior variance of a latent is
    sigma^2 / lambda, lambda the eigenvalue of the data covariance that it explains (Lucas, 2019).
    """
    d, r, kappa, n, steps = 8, 3, 5, 2_000, 8_000
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
    (group,) = make_groups((cell,))
    method, hparams = vae(group, steps, 0.3), hparams_of(cell)
    batch = {"x": jnp.asarray(x, jnp.float32)}

    def body(state, key):
        return method.step(state, batch, method.noise(key, n), hparams)[0], None

    keys = jax.random.split(jax.random.key(0), steps)
    state, _ = jax.jit(lambda s: jax.lax.scan(body, s, keys))(method.init(jax.random.key(1), cell))
    evaluations = [
        method.evaluate(state, batch, method.noise(key, n), hparams) for key in keys[:20]
    ]
    nelbo = np.mean([evaluation.nelbo for evaluation in evaluations])
    assert nelbo == pytest.approx(expected_nelbo, abs=0.03)
    assert float(jnp.exp(evaluations[0].log_gamma)) == pytest.approx(sigma2, rel=0.05)
    ratios = np.sort(evaluations[0].ratios)
    np.testing.assert_allclose(ratios[:r], sigma2 / eigenvalues[:r], rtol=0.1)
    assert np.all(ratios[r:] > 0.8)
    active = np.argsort(evaluations[0].ratios)[:r]
    kernel = np.asarray(state.params["decoder"]["mean"]["kernel"])[active].T
    learned, _ = np.linalg.qr(kernel)
    overlap = np.linalg.svd(learned.T @ vectors[:, :r], compute_uv=False)
    assert overlap.min() > 0.999


def test_a_diverged_model_has_no_counts(tiny):
    (cell, *_) = make_cells(tiny())
    (group,) = make_groups((cell,))
    method = vae(group, 20, 0.3)
    state, x = method.init(jax.random.key(0), cell), batches(cell, 1)[0]
    noise = method.noise(jax.random.key(1), 40)
    counted = method.evaluate(state, {"x": x}, noise, hparams_of(cell))
    assert counted.ad_fractions.sum() == pytest.approx(1.0)
    lost = state._replace(params=jax.tree.map(lambda leaf: leaf * np.nan, state.params))
    found = method.evaluate(lost, {"x": x}, noise, hparams_of(cell))
    assert np.all(np.isnan(found.ad_fractions))
