"""What gamma resolves of a known manifold."""

import jax.numpy as jnp
import numpy as np

from mdvae.engine.resolution import count_above, count_resolvable


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
