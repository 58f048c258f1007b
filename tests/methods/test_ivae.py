"""Method "ivae": its loss against independent sums, and what a latent's scale does not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from conftest import tiny_dict
from hypothesis import given, settings
from hypothesis import strategies as st

from mdvae.methods.base import cell_numbers, make_method, networks_of
from mdvae.methods.ivae import scaled_by_batch
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Group, make_cells

GRID = {"kappa": (3,), "d": (5,), "r": (3,), "t": (2,)}
IVAE = {"method": "ivae", "networks": "ivae_mlp"}
STEPS = 10


def made(grid=GRID, **fields):
    """A cell, its method, a state in which no prior is N(0, I), a batch and noise."""
    (cell,) = make_cells(resolve(tiny_dict(grid, **{**IVAE, "encoder_input": "raw", **fields})))
    method = make_method(Group((cell,), cell.sizes), STEPS)
    numbers = {name: np.float32(value) for name, value in cell_numbers(cell).items()}
    state = method.init(jax.random.key(0), cell)
    keys = iter(jax.random.split(jax.random.key(1), 100))
    moved = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(next(keys), x.shape), state.params)
    x = jax.random.uniform(next(keys), (cell.sizes.d, 40))
    batch = {"x": x, "c": jax.random.uniform(next(keys), (cell.sizes.c, 40), minval=-1.0)}
    noise = method.noise(next(keys), 40)
    return cell, method, state._replace(params=moved), batch, noise, numbers


def parts_of(cell, params, batch, noise):
    """Moments of posterior and prior, and x_hat, [samples, width] in double precision."""
    networks = networks_of(cell)
    posterior, _ = networks.encode(params, {}, batch, False)
    prior = networks.prior(params, batch)
    z = posterior.mean + jnp.exp(0.5 * posterior.logvar) * noise
    x_hat, _ = networks.decode(params, {}, z, batch, False)
    found = posterior.mean, posterior.logvar, prior.mean, prior.logvar, x_hat
    return [np.asarray(each, np.float64).T for each in found]


def kl_by_integration(mean, logvar, prior_mean, prior_logvar):
    """KL of two normal densities by a sum over a fine grid."""
    z = mean + np.exp(0.5 * logvar) * np.linspace(-9, 9, 20_001)
    log_q = scipy.stats.norm.logpdf(z, mean, np.exp(0.5 * logvar))
    log_p = scipy.stats.norm.logpdf(z, prior_mean, np.exp(0.5 * prior_logvar))
    return np.trapezoid(np.exp(log_q) * (log_q - log_p), z)


@pytest.mark.parametrize("prior", ["variance", "both", "mean"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_loss_is_the_sum_of_independent_ones(prior, likelihood):
    cell, method, state, batch, noise, numbers = made(prior=prior, likelihood=likelihood)
    found = method.score(state, batch, noise, numbers)
    *moments, x_hat = parts_of(cell, state.params, batch, noise)
    x = np.asarray(batch["x"], np.float64).T
    for i in (0, 17):
        of_sample = zip(*(each[i] for each in moments), strict=True)
        kl = sum(kl_by_integration(*each) for each in of_sample)
        np.testing.assert_allclose(found["kl"][i], kl, rtol=1e-4)
        if likelihood == "gaussian":
            scale = np.exp(0.5 * float(state.params["log_gamma"]))
            nll = -scipy.stats.norm.logpdf(x[i], x_hat[i], scale).sum()
        else:
            nll = -(x[i] * np.log(x_hat[i]) + (1 - x[i]) * np.log(1 - x_hat[i])).sum()
        np.testing.assert_allclose(found["nelbo"][i], nll + kl, rtol=1e-4)
    _, logvar, prior_mean, prior_logvar = moments
    np.testing.assert_allclose(found["ratio"].T, np.exp(logvar - prior_logvar), rtol=1e-4)
    assert np.all(prior_mean == 0) == (prior == "variance")
    assert np.all(prior_logvar == 0) == (prior == "mean")


@pytest.mark.long
def test_gamma_is_the_best_of_the_batch_in_training():
    _, method, state, batch, noise, numbers = made()
    _, info = method.step(state, batch, noise, numbers)
    assert np.exp(info["log_gamma"]) == pytest.approx(float(info["recon"]) / 5, rel=1e-5)
    after, again = method.step(state._replace(step=jnp.int32(500)), batch, noise, numbers)
    before = float(state.params["log_gamma"])
    moved = float(after.params["log_gamma"]) - before
    assert moved == pytest.approx(0.01 * (float(again["log_gamma"]) - before), rel=1e-3)


def test_the_last_sample_may_set_all_prior_variances_in_training_alone():
    cell, method, state, batch, noise, numbers = made(prior_of="last", prior="both")
    own = made(prior="both")[1]
    _, info = method.step(state, batch, noise, numbers)
    *moments, _ = parts_of(cell, state.params, batch, noise)
    mean, logvar, prior_mean, prior_logvar = moments
    last = prior_logvar[-1]
    kl = 0.5 * (np.exp(logvar - last) + (mean - prior_mean) ** 2 / np.exp(last) - 1 + last - logvar)
    np.testing.assert_allclose(info["kl"], kl.sum(axis=1).mean(), rtol=1e-4)
    assert abs(own.step(state, batch, noise, numbers)[1]["kl"] - info["kl"]) > 1e-3
    scored, as_own = (each.score(state, batch, noise, numbers) for each in (method, own))
    np.testing.assert_array_equal(scored["kl"], as_own["kl"])


def test_u_may_be_scaled_by_the_batch_in_training_alone():
    _, method, state, batch, noise, numbers = made(scaling="batch")
    own = made()[1]
    c = np.asarray(batch["c"])
    low, high = c.min(axis=1, keepdims=True), c.max(axis=1, keepdims=True)
    scaled = {**batch, "c": jnp.asarray((c - low) / (high - low))}
    by_batch = method.step(state, batch, noise, numbers)[1]
    as_scaled = own.step(state, scaled, noise, numbers)[1]
    assert float(by_batch["kl"]) == pytest.approx(float(as_scaled["kl"]))
    scored, as_own = (each.score(state, batch, noise, numbers) for each in (method, own))
    np.testing.assert_array_equal(scored["kl"], as_own["kl"])


def test_what_a_batch_has_one_value_of_is_scaled_to_0():
    c = jnp.array([[2.0, 2.0, 2.0], [1.0, 3.0, 2.0]])
    np.testing.assert_allclose(scaled_by_batch(c, -1), [[0, 0, 0], [0, 1, 0.5]])
    np.testing.assert_allclose(scaled_by_batch(c.T, 0), scaled_by_batch(c, -1).T)


def scaled(params, j, factor):
    """The same model with latent j, and its prior, times a factor."""
    params = jax.tree.map(np.array, params)
    encoder, prior = params["encoder"]["heads"], params["prior"]["heads"]
    for heads in (encoder, prior):
        heads["kernel"][:, 0, j] *= factor
        heads["bias"][0, j] *= factor
        heads["bias"][1, j] += 2.0 * np.log(factor)
    params["decoder"]["Linear_0"]["kernel"][j] /= factor
    return params


@given(j=st.integers(0, 2), log_factor=st.floats(-6.0, 6.0))
@settings(max_examples=25)
def test_a_latent_and_its_prior_have_no_scale_of_their_own(j, log_factor):
    _, method, state, batch, noise, numbers = made(prior="both")
    other = state._replace(params=scaled(state.params, j, np.exp(log_factor)))
    found, again = (method.score(each, batch, noise, numbers) for each in (state, other))
    for name in ("nelbo", "recon", "kl", "ratio"):
        np.testing.assert_allclose(again[name], found[name], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("grid", "fields", "message"),
    [
        (
            {"kappa": (3,), "d": (5,), "r": (2,)},
            {"data": "random_net", "networks": "mlp", "net_width": 8},
            "method.kind: 'ivae' needs data with a condition",
        ),
        (GRID, {"networks": "mlp", "heads": "point"}, "heads"),
        (
            GRID,
            {"likelihood": "bernoulli", "output": "linear"},
            "method.likelihood: 'bernoulli' needs data and a decoder between 0 and 1",
        ),
        (
            GRID,
            {"prior": "mean", "prior_of": "last"},
            "method.prior_of: 'last' has no effect on a prior of fixed variance",
        ),
        (
            {"kappa": (3,), "d": (5,), "r": (2,), "past": (2,)},
            {"data": "sequences", "networks": "lstm"},
            "method.kind: 'ivae' has no use for sequences",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(grid, fields, message):
    with pytest.raises(ConfigError, match=r"^\S+: .+") as error:
        make_cells(resolve(tiny_dict(grid, **{**IVAE, **fields})))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
