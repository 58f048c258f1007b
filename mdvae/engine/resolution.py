"""What gamma resolves of a known manifold: near each sample, and over all of them."""

import jax
import jax.numpy as jnp
from jax import lax

# Of gamma: a direction that varies by more is resolved. Samples on which that is looked at.
RESOLVED = 10.0
RESOLVED_SAMPLES = 2_000
# Of I + J^T J / gamma, whose pivots are 1 or more but for rounding; lower ones tell of too much.
LEAST_PIVOT = 0.5


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


def mean_posterior(gram_NKK: jax.Array, gamma: jax.Array) -> jax.Array:
    """Mean over samples of the variances that gamma leaves to a manifold's directions, [k, k].

    Near a sample the linear VAE that touches the manifold has the posterior (I + J^T J / gamma)^-1,
    J the Jacobian times a root of the coordinates' covariance. The mean of these tells what the
    variance ratios of latents that all samples share can be at gamma.

    Args:
        gram_NKK: J^T J; see `data.base.DataKind.tangents`. Where it is 0 the prior is left.

    Returns:
        nan of a model that diverged, and where single precision does not reach: of variances of
        about 1e8 gamma beside some of no more than gamma.
    """
    k = gram_NKK.shape[-1]

    def pivot(j: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """A step of the symmetric sweep, which turns A into -A^-1; no LAPACK, as above."""
        rest_NKK, least = carry
        row_NK = lax.dynamic_index_in_dim(rest_NKK, j, axis=1, keepdims=False)
        pivot_N1 = lax.dynamic_slice_in_dim(row_NK, j, 1, axis=1)
        scaled_NK = row_NK / pivot_N1
        swept_NKK = rest_NKK - row_NK[:, :, None] * scaled_NK[:, None, :]
        is_j_K = jnp.arange(k) == j
        scaled_NK = jnp.where(is_j_K, -1.0 / pivot_N1, scaled_NK)
        swept_NKK = jnp.where(is_j_K[:, None], scaled_NK[:, None, :], swept_NKK)
        swept_NKK = jnp.where(is_j_K[None, :], scaled_NK[:, :, None], swept_NKK)
        return swept_NKK, jnp.minimum(least, jnp.min(pivot_N1))

    start = jnp.eye(k)[None] + gram_NKK / gamma, jnp.float32(jnp.inf)
    swept_NKK, least = lax.fori_loop(jnp.int32(0), jnp.int32(k), pivot, start)
    return jnp.where(least > LEAST_PIVOT, -jnp.mean(swept_NKK, axis=0), jnp.nan)
