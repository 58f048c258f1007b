"""The identity of TwoStage, eq. 83, against closed forms and other ways to differentiate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import tiny_dict

from mdvae.analysis.jacobian import (
    best_covariance,
    best_variances,
    can_be_differentiated,
    codes,
    correlation,
    decades_off,
    identity_of,
    jacobian,
)
from mdvae.methods.base import networks_of
from mdvae.networks.base import Full
from mdvae.networks.convolutions import by_compiler
from mdvae.settings.config import resolve
from mdvae.settings.grid import make_cells
from mdvae.store.models import Model

D, KAPPA, GAMMA = 12, 3, 0.04
# Orthogonal columns, so that the best covariance is diagonal; the last latent is superfluous.
LENGTHS = np.array([2.0, 0.7, 0.0])
NOISE = np.random.default_rng(0)


def cell_of(grid, **fields):
    (cell,) = make_cells(resolve(tiny_dict(grid, **fields)))
    return cell


def random_model(cell):
    """A model of a cell with params as they start, and running statistics other than at first."""
    with by_compiler():
        params, stats = jax.jit(networks_of(cell).init)(jax.random.key(3))
    stats = jax.tree.map(lambda leaf: leaf + jnp.linspace(0.1, 0.5, leaf.size), stats)
    return Model(cell, 0, 1, {**params, "log_gamma": jnp.float32(np.log(GAMMA))}, stats)


def at_the_level_of(model, jacobians):
    """A model whose gamma is where J^T J matters as much as the prior, and that gamma."""
    gamma = np.float32(np.mean(np.sum(np.square(jacobians), axis=1)))
    return model._replace(params={**model.params, "log_gamma": np.log(gamma)}), float(gamma)


def linear_model():
    """Probabilistic PCA: x_hat = W z + b, and an encoder whose variances are given by hand."""
    cell = cell_of(
        {"kappa": (KAPPA,), "d": (D,), "r": (2,)},
        hidden=(),
        encoder_input="raw",
        output="linear",
    )
    columns = np.linalg.qr(NOISE.normal(size=(D, KAPPA)))[0] * LENGTHS
    best = 1.0 / (1.0 + LENGTHS**2 / GAMMA)
    model = random_model(cell)
    heads = {"kernel": np.zeros((D, 2, KAPPA)), "bias": np.stack([np.ones(KAPPA), np.log(best)])}
    model.params["encoder"]["heads"] = heads
    model.params["decoder"]["mean"] = {"kernel": columns.T, "bias": np.ones(D)}
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), model.params)
    return model._replace(params=params), columns, best


def image_cell(**fields):
    given = {"data": "images", "networks": "resnet", "networks.channels": 2, "n_eval": 40, **fields}
    return cell_of({"kappa": (KAPPA,)}, **given)


def images_of(n, classes=0):
    x = NOISE.uniform(size=(n, 28, 28, 1))
    return x, (np.eye(10)[np.arange(n) % 10] if classes else None)


@pytest.fixture(scope="module")
def told():
    """A CVAE of images with a learned prior, images and their classes."""
    cell = image_cell(model="cvae", prior="learned")
    return random_model(cell), *images_of(4, classes=10)


def test_a_linear_model_has_its_closed_form():
    """W^T W is diagonal here, so that the best diagonal covariance is the best of all."""
    model, columns, best = linear_model()
    x = NOISE.normal(size=(5, D))
    found = jacobian(model, codes(model, x).mean)
    np.testing.assert_allclose(found, np.broadcast_to(columns, (5, D, KAPPA)), atol=1e-6)
    checked = identity_of(model, x)
    assert checked.best_diagonal is not None
    for values in (checked.measured, checked.by_jacobian, checked.best_diagonal):
        np.testing.assert_allclose(values, np.broadcast_to(best, (5, KAPPA)), rtol=1e-5)
    assert checked.error is None
    assert decades_off(checked.measured, checked.best_diagonal, 0.05) < 1e-5
    assert decades_off(10 * checked.measured, checked.by_jacobian, 0.5) == pytest.approx(1.0)


def test_best_covariances_are_least_of_the_loss():
    """Others have a larger loss, and of diagonal ones others; the columns are not orthogonal."""
    columns = NOISE.normal(size=(D, KAPPA))

    def loss(covariance):
        """2 nelbo but for what does not depend on the covariance, in nats."""
        inner = np.trace(columns.T @ columns @ covariance) / GAMMA
        return inner + np.trace(covariance) - np.linalg.slogdet(covariance)[1]

    (full,), (diagonal,) = (
        best(columns[None], GAMMA) for best in (best_covariance, best_variances)
    )
    assert np.all(diagonal < np.diagonal(full))
    assert loss(full) < loss(np.diag(diagonal))
    for factor in (0.98, 1.02):
        assert loss(full) < loss(factor * full)
        for j in range(KAPPA):
            moved = diagonal * np.where(np.arange(KAPPA) == j, factor, 1.0)
            assert loss(np.diag(diagonal)) < loss(np.diag(moved))


@pytest.mark.long
def test_jacobians_of_images_are_finite_differences_in_double_precision(told):
    """Of the decoder as it is trained, whose convolutions on a CPU are not the compiler's."""
    (model, x, c), step = told, 1e-5
    cell = model.cell
    mean = codes(model, x, c).mean
    found = jacobian(model, mean, c)
    assert found.shape == (4, 784, KAPPA)
    decode = jax.jit(
        lambda params, stats, z_KB, batch: networks_of(cell).decode(
            params, stats, z_KB, batch, False
        )[0]
    )
    with jax.enable_x64(True):
        given = model.params, model.stats, np.asarray(mean).T, {"c": c}
        params, stats, z_KB, batch = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), given)
        for j in range(KAPPA):
            moved = step * jnp.eye(KAPPA)[:, [j]] * jnp.ones((1, 4))
            ends = [np.asarray(decode(params, stats, z_KB + m, batch)) for m in (moved, -moved)]
            slope = (ends[0] - ends[1]).reshape(4, -1) / (2 * step)
            np.testing.assert_allclose(found[..., j], slope, atol=1e-4 * np.abs(slope).max())


@pytest.mark.long
def test_full_covariances_are_compared_as_matrices():
    cell = image_cell(covariance="full")
    model = random_model(cell)
    x, _ = images_of(4)
    columns = jacobian(model, codes(model, x).mean)
    model, gamma = at_the_level_of(model, columns)
    checked = identity_of(model, x)
    assert checked.error is not None
    best = best_covariance(columns, gamma)
    with by_compiler():
        posterior = model.posterior(x)
    assert isinstance(posterior, Full)
    factor_NKK = np.moveaxis(np.asarray(posterior.factor, np.float64), 2, 0)
    own = factor_NKK @ np.swapaxes(factor_NKK, 1, 2)
    for values, matrices in ((checked.measured, own), (checked.by_jacobian, best)):
        np.testing.assert_allclose(values, np.linalg.eigvalsh(matrices), rtol=1e-5)
    flat = [each.reshape(4, -1) for each in (own - best, best)]
    np.testing.assert_allclose(
        checked.error, np.linalg.norm(flat[0], axis=1) / np.linalg.norm(flat[1], axis=1), rtol=1e-5
    )
    assert checked.best_diagonal is None


def test_a_learned_prior_gives_the_units(told):
    """(P^-1 + J^T J / gamma)^-1 in units of z is what is said, times the prior's variances P."""
    model, x, c = told
    learned = networks_of(model.cell).prior
    assert learned is not None
    prior = learned(model.params, {"c": jnp.asarray(c, jnp.float32)})
    variance = np.exp(np.asarray(prior.logvar, np.float64)).T
    assert np.ptp(variance) > 0
    columns = jacobian(model, codes(model, x, c).mean, c).astype(np.float64)
    model, gamma = at_the_level_of(model, columns)
    inner = np.swapaxes(columns, 1, 2) @ columns / gamma
    full = np.linalg.inv(inner + np.eye(KAPPA) / variance[:, :, None])
    checked = identity_of(model, x, c)
    np.testing.assert_allclose(
        checked.by_jacobian * variance, np.diagonal(full, axis1=1, axis2=2), rtol=1e-4
    )
    with by_compiler():
        own = np.exp(model.encode(x, c)[1])
    np.testing.assert_allclose(checked.measured * variance, own, rtol=1e-4)


def test_what_cannot_be_compared(told):
    """Images decoded by their batch's statistics; medians and correlations of nothing."""
    model, *_ = told
    assert can_be_differentiated(model)
    assert not can_be_differentiated(model._replace(cell=image_cell(evaluation="batch")))
    ones = np.ones((4, 2))
    assert np.isnan(decades_off(ones, ones, 0.05))
    assert np.isnan(correlation(ones, ones))
    assert correlation(*2 * [np.array([[0.1, 0.5, 1.0]])]) == pytest.approx(1.0)
