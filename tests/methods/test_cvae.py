"""The CVAE method: padding, the loss under a learned prior, Remark 1, known answers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from mdvae import objective
from mdvae.data.sets import data_key, data_kind, make_batch
from mdvae.distributions import reparameterise
from mdvae.ensemble import pad_like, unpad_like
from mdvae.grid import make_cells, make_groups
from mdvae.methods import cell_hparams, padded_shapes
from mdvae.methods.vae import cell_networks, vae
from mdvae.networks import to_standard_prior

STEPS = 200
KINDS = [("standard", False), ("standard", True), ("learned", False), ("learned", True)]


def hparams_of(cell):
    return jax.tree.map(np.float32, cell_hparams(cell))


def batches(cell, n, size=40):
    rng = np.random.default_rng(cell.d)
    x = rng.uniform(0, 1, (n, cell.d, size)).astype(np.float32)
    return {"x": x, "c": rng.normal(size=(n, cell.c, size)).astype(np.float32)}


def scan(method, state, data, noise, hparams):
    def body(state, inputs):
        batch, eps = inputs
        return method.step(state, batch, eps, hparams)

    return jax.jit(lambda s: jax.lax.scan(body, s, (data, noise)))(state)


@pytest.mark.parametrize(("prior", "attention"), KINDS)
def test_padded_equals_unpadded(tiny, prior, attention):
    grid = {"kappa": (2, 5), "d": (4, 9), "r": (3,), "t": (0, 1, 3)}
    fields = {"model": "cvae", "prior": prior, "attention": attention}
    config = tiny(grid, steps=STEPS, hidden=(8, 6), activation="prelu", **fields)
    (group,) = make_groups(make_cells(config))
    assert (group.kappa, group.d, group.c) == (5, 9, 3)
    padded_method = vae(group, STEPS, 0.3)
    template = padded_shapes(padded_method, group)
    for cell in group.cells[::5]:
        (alone,) = make_groups((cell,))
        method, hparams = vae(alone, STEPS, 0.3), hparams_of(cell)
        state = method.init(jax.random.key(2), cell)
        padded = pad_like(state, template)
        data = batches(cell, STEPS)
        noise = np.asarray(jax.random.normal(jax.random.key(1), (STEPS, group.kappa, 40)))
        wide = {
            "x": np.pad(data["x"], ((0, 0), (0, group.d - cell.d), (0, 0))),
            "c": np.pad(data["c"], ((0, 0), (0, group.c - cell.c), (0, 0))),
        }
        first = partial(jax.tree.map, lambda leaf: leaf[:1])
        once, once_info = scan(method, state, first(data), noise[:1, : cell.kappa], hparams)
        once_padded, once_padded_info = scan(padded_method, padded, first(wide), noise[:1], hparams)
        # The first moment of Adam after one step is (1 - b1) times the gradient.
        grads = unpad_like(once_padded.opt_state.mu, once.opt_state.mu)
        close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-6)
        jax.tree.map(close, grads, once.opt_state.mu)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), once_padded_info, once_info)

        end, info = scan(method, state, data, noise[:, : cell.kappa], hparams)
        end_padded, info_padded = scan(padded_method, padded, wide, noise, hparams)
        np.testing.assert_allclose(info_padded.nelbo, info.nelbo, rtol=1e-3, atol=1e-3)
        # What was padded is still exactly zero.
        rebuilt = pad_like(unpad_like(end_padded.params, end.params), template.params)
        jax.tree.map(np.testing.assert_array_equal, rebuilt, end_padded.params)
        last, last_wide = (jax.tree.map(lambda leaf: leaf[-1], each) for each in (data, wide))
        found = method.evaluate(end, last, noise[0, : cell.kappa], hparams)
        found_padded = padded_method.evaluate(end_padded, last_wide, noise[0], hparams)
        np.testing.assert_allclose(found_padded.nelbo, found.nelbo, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found_padded.ratios[: cell.kappa], found.ratios, rtol=1e-2)
        np.testing.assert_allclose(found_padded.ratios[cell.kappa :], 1.0)
        np.testing.assert_allclose(found_padded.ad_fractions.sum(), 1.0, rtol=1e-5)


def trained(config, steps=300):
    """A model after some real steps, on its own data."""
    (cell,) = make_cells(config)
    (group,) = make_groups((cell,))
    method, hparams = vae(group, steps, 0.3), hparams_of(cell)
    n = 100 * steps
    data = make_batch(data_key(cell, 3), data_kind([cell], "authors"), n, "train")
    data = {k: v.reshape(v.shape[0], steps, 100).swapaxes(0, 1) for k, v in data.items()}
    noise = jax.random.normal(jax.random.key(0), (steps, cell.kappa, 100))
    state, _ = scan(method, method.init(jax.random.key(0), cell), data, noise, hparams)
    return cell, method, hparams, state


def nelbo_of_samples(cell, params, batch, noise):
    networks = cell_networks(cell)
    mean, logvar = networks.encode(params, batch["x"], batch["c"])
    x_hat = networks.decode(params, reparameterise(mean, logvar, noise), batch["c"])
    prior = (0.0, 0.0) if networks.prior is None else networks.prior(params, batch["c"])
    return objective.gaussian_terms(
        batch["x"], x_hat, mean, logvar, params["log_gamma"], float(cell.d), *prior
    ).nelbo


@pytest.mark.parametrize("attention", [False, True])
def test_remark_1_on_a_trained_model(tiny, attention):
    """The same loss for every sample, and the same samples, without a learned prior."""
    grid = {"kappa": (5,), "d": (6,), "r": (3,), "t": (2,)}
    config = tiny(grid, model="cvae", prior="learned", attention=attention, hidden=(16,))
    cell, _, _, state = trained(config)
    (plain,) = make_cells(tiny(grid, model="cvae", attention=attention, hidden=(16,)))
    batch = make_batch(data_key(cell, 3), data_kind([cell], "authors"), 500, "eval")
    noise = jax.random.normal(jax.random.key(5), (cell.kappa, 500))
    before = np.asarray(nelbo_of_samples(cell, state.params, batch, noise))
    after = np.asarray(nelbo_of_samples(plain, to_standard_prior(state.params), batch, noise))
    assert np.abs(after - before).max() < 1e-4 * np.abs(before).max()
    # The prior has moved away from N(0, I), or nothing would be shown.
    prior = cell_networks(cell).prior
    assert prior is not None
    assert np.abs(np.concatenate(prior(state.params, batch["c"]))).max() > 0.1


def test_loss_under_a_learned_prior_is_the_closed_form(tiny):
    grid = {"kappa": (4,), "d": (6,), "r": (3,), "t": (2,)}
    cell, method, hparams, state = trained(tiny(grid, model="cvae", prior="learned"))
    batch = make_batch(data_key(cell, 3), data_kind([cell], "authors"), 400, "eval")
    noise = method.noise(jax.random.key(5), 400)
    found = method.evaluate(state, batch, noise, hparams)
    assert method.networks.prior is not None
    mean, logvar = (
        np.asarray(v, np.float64)
        for v in method.networks.encode(state.params, batch["x"], batch["c"])
    )
    prior_mean, prior_logvar = (
        np.asarray(v, np.float64) for v in method.networks.prior(state.params, batch["c"])
    )
    z = mean + np.exp(logvar / 2) * np.asarray(noise)
    x_hat = method.networks.decode(state.params, jnp.asarray(z, jnp.float32), batch["c"])
    gamma = float(np.exp(state.params["log_gamma"]))
    nll = -scipy.stats.norm.logpdf(batch["x"], x_hat, gamma**0.5).sum(axis=0)
    log_ratio = logvar - prior_logvar
    squared = (mean - prior_mean) ** 2 * np.exp(-prior_logvar)
    kl = 0.5 * (np.exp(log_ratio) + squared - 1 - log_ratio).sum(axis=0)
    assert float(found.nelbo) == pytest.approx((nll + kl).mean(), rel=1e-3, abs=1e-3)
    np.testing.assert_allclose(found.ratios, np.exp(log_ratio).mean(axis=1), rtol=1e-4)
    counts = (np.exp(log_ratio) < 0.05).sum(axis=0)
    np.testing.assert_allclose(
        found.ad_fractions, np.bincount(counts, minlength=5) / 400, atol=1e-5
    )


def test_condition_that_tells_all_leaves_nothing_to_encode(tiny):
    """t = r: x is a function of c, and every latent stays at its prior (Theorem 2)."""
    grid = {"kappa": (4,), "d": (6,), "r": (2,), "t": (2,)}
    config = tiny(grid, model="cvae", hidden=(32,), learning_rate=0.01)
    cell, method, hparams, state = trained(config, steps=3_000)
    batch = make_batch(data_key(cell, 3), data_kind([cell], "authors"), 2_000, "eval")
    found = method.evaluate(state, batch, method.noise(jax.random.key(5), 2_000), hparams)
    assert np.all(found.ratios > 0.8)
    told = float(found.recon)
    plain = tiny({**grid, "t": (0,)}, model="cvae", hidden=(32,), learning_rate=0.01)
    cell, method, hparams, state = trained(plain, steps=3_000)
    batch = make_batch(data_key(cell, 3), data_kind([cell], "authors"), 2_000, "eval")
    found = method.evaluate(state, batch, method.noise(jax.random.key(5), 2_000), hparams)
    assert np.sum(found.ratios < 0.2) == 2  # nothing told: both dimensions are encoded
    assert told < 0.5 * float(found.recon)
