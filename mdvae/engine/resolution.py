"""How many directions of a known manifold gamma resolves near each sample."""

import jax
import jax.numpy as jnp
from jax import lax

# Of gamma: a direction that varies by more is resolved. Samples on which that is looked at.
RESOLVED = 10.0
RESOLVED_SAMPLES = 2_000


def count_above(gram_NKK: jax.Array, level: jax.Array) -> jax.Array:
    """How many eigenvalues of symmetric matrices are above a level, [n].

    By Sylvester's law of inertia: as many as A - level I has positive pivots. LAPACK's own
    eigenvalues, called from several CPU devices at once, wait for each other for ever.
    """
    k = gram_NKK.shape[-1]

    def eliminate(j: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rest_NKK, count_N = carry
        column_NK = lax.dynamic_index_in_dim(rest_NKK, j, axis=2, keepdims=False)
        pivot_N = lax.dynamic_index_in_dim(column_NK, j, axis=1, keepdims=False)
        safe_N = jnp.where(pivot_N == 0.0, 1e-12, pivot_N)
        change_NKK = column_NK[:, :, None] * column_NK[:, None, :] / safe_N[:, None, None]
        return rest_NKK - change_NKK, count_N + (pivot_N > 0.0).astype(jnp.int32)

    shifted_NKK = gram_NKK / level - jnp.eye(k)[None]
    zeros_N = jnp.zeros(len(gram_NKK), jnp.int32)
    return lax.fori_loop(jnp.int32(0), jnp.int32(k), eliminate, (shifted_NKK, zeros_N))[1]


def count_resolvable(gram_NKK: jax.Array, gamma: jax.Array) -> jax.Array:
    """Fractions of samples near which so many directions vary by more than gamma resolves.

    A direction of variance v is worth a latent where v > gamma (the linear VAE's condition);
    from RESOLVED gamma on, its latent's variance is clearly below the prior's.

    Args:
        gram_NKK: see `data.base.DataKind.tangents`.

    Returns:
        For 0 to k directions, [k + 1]; nan of a model that diverged.
    """
    count_N = count_above(gram_NKK, RESOLVED * gamma)
    fractions = jnp.mean(jax.nn.one_hot(count_N, gram_NKK.shape[-1] + 1), axis=0)
    return jnp.where(jnp.isfinite(gamma), fractions, jnp.nan)
