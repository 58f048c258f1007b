"""What gamma resolves of a known manifold."""

import jax.numpy as jnp
import numpy as np
import pytest
from slices import set_up

from mdvae.engine.resolution import count_above, count_resolvable, mean_posterior
from mdvae.settings.registry import DATA


def test_eigenvalues_above_a_level_are_counted():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(300, 7, 5)) * np.exp(rng.normal(size=(300, 1, 5)))
    gram = np.einsum("nkr,nlr->nkl", factors, factors)
    right = np.sum(np.linalg.eigvalsh(gram) > 0.5, axis=1)
    found = count_above(jnp.asarray(gram, jnp.float32), jnp.float32(0.5))
    assert np.mean(np.asarray(found) == right) > 0.99  # but for some within rounding of the level
    assert len(set(right.tolist())) > 3


def test_directions_are_resolved_above_ten_gamma():
    variances = [[0.0, 0.0, 0.0], [0.05, 0.2, 0.11], [0.2, 0.3, 0.15]]
    gram = jnp.asarray([np.diag(each) for each in variances], jnp.float32)
    found = count_resolvable(gram, jnp.float32(0.01))
    np.testing.assert_allclose(found, [1 / 3, 0.0, 1 / 3, 1 / 3], atol=1e-6)
    # A model that diverged resolves nothing, and not none.
    assert np.all(np.isnan(count_resolvable(gram, jnp.float32(np.nan))))


def grams(variances, n, rng):
    """Symmetric matrices of some eigenvalues in random directions, with two rows of zeros below."""
    k = len(variances)
    turns = np.linalg.qr(rng.normal(size=(n, k, k)))[0]
    found = np.zeros((n, k + 2, k + 2))
    found[:, :k, :k] = np.einsum("nik,k,njk->nij", turns, variances, turns)
    return found


def posterior(gram, gamma):
    k = gram.shape[-1]
    return np.mean(np.linalg.inv(np.eye(k) + gram / gamma), axis=0)


@pytest.mark.parametrize("gamma", [1e-2, 1e-5, 3e-7])
def test_mean_posterior_is_that_of_linear_vaes(gamma):
    """Directions over six orders of magnitude, and some that are not there."""
    gram = grams(np.array([1.0, 1e-2, 1e-4, 1e-6]), 400, np.random.default_rng(1))
    right = posterior(gram, gamma)
    found = np.asarray(mean_posterior(jnp.asarray(gram, jnp.float32), jnp.float32(gamma)))
    np.testing.assert_allclose(found, right, atol=3e-3)
    np.testing.assert_allclose(found[4:], np.eye(6)[4:], atol=1e-6)
    assert 0.05 < np.linalg.eigvalsh(right)[3] < 0.95


def test_a_mean_posterior_is_not_told_where_there_is_none():
    """Of a model that diverged, and where single precision does not reach."""
    gram = jnp.asarray(grams(np.array([1.0, 1e-9]), 50, np.random.default_rng(1)), jnp.float32)
    assert np.isfinite(mean_posterior(gram, jnp.float32(1e-6))).all()
    assert np.isnan(mean_posterior(gram, jnp.float32(np.nan))).all()
    assert np.isnan(mean_posterior(gram, jnp.float32(1e-10))).all()


@pytest.mark.parametrize(
    ("data", "method", "grid"),
    [
        ("manifold", {"model": "cvae"}, {"r": (2, 4), "t": (1,)}),
        ("union", {}, {"r": (2,)}),
    ],
)
def test_an_evaluation_tells_it_of_its_own_gamma_data_and_parts(tiny, data, method, grid):
    config = tiny(
        {"kappa": (5,), "d": (6,), **grid}, data=data, seeds=1, log_gamma_init=-4, **method
    )
    made = set_up(config, n_devices=1)
    (placement,) = made.placements
    loaded = made.trainer.load(placement)
    found = made.trainer.evaluate(loaded, made.trainer.init(loaded)).means["resolved_posterior"]
    kind = DATA.find(data)
    n = config.data.n_eval
    for run, mine in zip(placement.slots[: placement.n_runs], found, strict=True):
        cell = run.cell
        # Alone, without the padding of a group.
        law, table = kind.law([cell.data], cell.sizes), kind.table(cell.data, run.seed)
        for i in range(len(cell.parts)):
            part = i if len(cell.parts) > 1 else None
            x = kind.make(law, table, n, "eval", part)["x"]
            gram = np.asarray(kind.tangents(law, table, x, part), np.float64)
            eigenvalues = np.linalg.eigvalsh(posterior(gram, np.exp(-4.0)))
            own = np.linalg.eigvalsh(np.asarray(mine[i], np.float64))
            np.testing.assert_allclose(own[: len(eigenvalues)], eigenvalues, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(own[len(eigenvalues) :], 1.0, atol=1e-5)
            assert eigenvalues[0] < 0.9
