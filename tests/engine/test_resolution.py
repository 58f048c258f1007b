"""What gamma resolves of a known manifold."""

import jax.numpy as jnp
import numpy as np

from mdvae.engine.resolution import count_above, count_resolvable, mean_posterior


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


def test_mean_posterior_is_that_of_linear_vaes():
    """Directions over six orders of magnitude about gamma, and some that are not there."""
    rng = np.random.default_rng(1)
    scales = 10.0 ** rng.uniform(-4.0, 0.0, size=(400, 1, 6))
    turns = np.linalg.qr(rng.normal(size=(400, 6, 6)))[0]
    factors = turns * scales
    factors[:, 4:] = 0.0
    gram = np.einsum("nkr,nlr->nkl", factors, factors)
    right = np.mean(np.linalg.inv(np.eye(6) + gram / 1e-5), axis=0)
    found = np.asarray(mean_posterior(jnp.asarray(gram, jnp.float32), jnp.float32(1e-5)))
    np.testing.assert_allclose(found, right, atol=2e-3)
    np.testing.assert_allclose(found[4:, 4:], np.eye(2), atol=1e-6)
    assert 0.01 < np.diagonal(right)[:4].min() < np.diagonal(right)[:4].max() < 0.9
    diverged = mean_posterior(jnp.asarray(gram, jnp.float32), jnp.float32(np.nan))
    assert np.isnan(np.asarray(diverged)).all()
