"""Synthetic manifolds of CVAE-dims, Section 4.1: x = sigmoid(G u + b), u a Gaussian mixture in R^r.

Arrays are feature-major, [width, samples] (see `networks`). Every draw is made so that its leading
part does not depend on how far it is padded: a cell's data are the same alone and in any sweep.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

COMPONENTS = 5

# CVAE-dims states equal weights; its published numbers were made with these, normalised.
AUTHORS_WEIGHTS = (0.2, 0.3, 0.5, 0.3, 0.2)


class Manifold(NamedTuple):
    """One draw of the law of x, padded with zeros to r_max and d_max.

    Attributes:
        weights_M: probabilities of the mixture's components.
        means_RM, scales_RM: their means and standard deviations.
        noise_R: standard deviation of the normal noise added to u; it stays on the manifold.
        projection_RD, bias_D: G (transposed) and b.
        mask_D: 1 for a true dimension of x, 0 for padding.
    """

    weights_M: jax.Array
    means_RM: jax.Array
    scales_RM: jax.Array
    noise_R: jax.Array
    projection_RD: jax.Array
    bias_D: jax.Array
    mask_D: jax.Array


def draw_rows(key: jax.Array, n_rows: int, draw) -> jax.Array:
    """Stacks draw(key of row i), [n_rows, ...]: a row does not depend on how many there are."""
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(jnp.arange(n_rows))


def draw_manifold(
    key: jax.Array,
    r: int | jax.Array,
    d: int | jax.Array,
    *,
    r_max: int,
    d_max: int,
    preset: str,
) -> Manifold:
    """Draws a mixture and a projection.

    Args:
        key: of the data set.
        r, d: true sizes; they may be traced.
        r_max, d_max: padded sizes, static.
        preset: "authors" (projection and bias uniform on +-1/sqrt(r), unequal weights, N(0, I)
            added to u) or "paper" (projection N(0, 1), no bias, equal weights, nothing added).
    """
    keys = jax.random.split(key, 4)
    mask_R = (jnp.arange(r_max, dtype=jnp.uint32) < r).astype(jnp.float32)
    mask_D = (jnp.arange(d_max, dtype=jnp.uint32) < d).astype(jnp.float32)
    mixture = [
        draw_rows(key, r_max, lambda k: jax.random.normal(k, (COMPONENTS,))) for key in keys[:2]
    ]
    authors = preset == "authors"
    if authors:

        def entry(k: jax.Array) -> jax.Array:
            return jax.random.uniform(k, minval=-1.0, maxval=1.0) / jnp.sqrt(jnp.float32(r))
    else:

        def entry(k: jax.Array) -> jax.Array:
            return jax.random.normal(k)

    projection_RD = draw_rows(keys[2], r_max, lambda k: draw_rows(k, d_max, entry))
    bias_D = draw_rows(keys[3], d_max, entry) if authors else jnp.zeros(d_max)
    weights_M = jnp.asarray(AUTHORS_WEIGHTS if authors else (1.0,) * COMPONENTS)
    return Manifold(
        weights_M=weights_M / weights_M.sum(),
        means_RM=mixture[0] * mask_R[:, None],
        scales_RM=jnp.exp(mixture[1]) * mask_R[:, None],
        noise_R=mask_R * float(authors),
        projection_RD=projection_RD * mask_R[:, None] * mask_D[None, :],
        bias_D=bias_D * mask_D,
        mask_D=mask_D,
    )


def sample(
    key: jax.Array, manifold: Manifold, n: int, keep_RN: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Draws n samples.

    Args:
        keep_RN: what coordinates are multiplied by, 1 or 0; by default all are kept.

    Returns:
        x_DN on the manifold and its coordinates u_RN; padded rows are zero.
    """
    key_component, key_mixture, key_noise = jax.random.split(key, 3)
    edges_M = jnp.cumsum(manifold.weights_M)[:-1]
    uniform_N = jax.random.uniform(key_component, (n,))
    component_N = jnp.sum(uniform_N[None, :] >= edges_M[:, None], axis=0)
    r_max = manifold.noise_R.shape[0]
    normal_RN = draw_rows(key_mixture, r_max, lambda k: jax.random.normal(k, (n,)))
    noise_RN = draw_rows(key_noise, r_max, lambda k: jax.random.normal(k, (n,)))
    u_RN = (
        manifold.means_RM[:, component_N]
        + manifold.scales_RM[:, component_N] * normal_RN
        + manifold.noise_R[:, None] * noise_RN
    )
    u_RN = u_RN if keep_RN is None else u_RN * keep_RN
    logits_DN = jnp.einsum("rd,rn->dn", manifold.projection_RD, u_RN, precision="highest")
    return jax.nn.sigmoid(logits_DN + manifold.bias_D[:, None]) * manifold.mask_D[:, None], u_RN


def tangent_gram(manifold: Manifold, x_DN: jax.Array, keep_R: jax.Array) -> jax.Array:
    """How much x varies along each direction of the manifold near each sample, [n, r, r].

    The eigenvalues that are not 0 are the squared singular values of the Jacobian
    dx/du = diag(x (1 - x)) G^T times a root of the covariance of u, pooled over the mixture: the
    variances of the linear manifold that touches this one. The root is square: a wider one would
    add eigenvalues of 0 that rounding makes larger than a small gamma.

    Args:
        x_DN: on the manifold.
        keep_R: 1 for the coordinates along which to look, 0 for the others.
    """
    weights_M, means_RM = manifold.weights_M, manifold.means_RM
    centred_RM = means_RM - (means_RM @ weights_M)[:, None]
    within_R = manifold.scales_RM**2 @ weights_M + manifold.noise_R**2
    # Within components, and between them.
    covariance_RR = jnp.diag(within_R) + jnp.dot(
        centred_RM * weights_M[None, :], centred_RM.T, precision="highest"
    )
    root_RR = lower_root(covariance_RR * keep_R[:, None] * keep_R[None, :])
    directions_DR = jnp.dot(manifold.projection_RD.T, root_RR, precision="highest")
    slope_DN = x_DN * (1.0 - x_DN)
    return jnp.einsum(
        "dn,dk,dl->nkl", slope_DN**2, directions_DR, directions_DR, precision="highest"
    )


def lower_root(covariance_RR: jax.Array) -> jax.Array:
    """The lower triangular L with L L^T a covariance, of which rows and columns may be 0.

    (LAPACK's is for definite matrices alone.)
    """

    def eliminate(j: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rest_RR, root_RR = carry
        column_R = lax.dynamic_index_in_dim(rest_RR, j, axis=1, keepdims=False)
        pivot = lax.dynamic_index_in_dim(column_R, j, keepdims=False)
        column_R = jnp.where(pivot > 0.0, column_R * lax.rsqrt(pivot), 0.0)
        root_RR = lax.dynamic_update_index_in_dim(root_RR, column_R, j, axis=1)
        return rest_RR - column_R[:, None] * column_R[None, :], root_RR

    r_max = covariance_RR.shape[0]
    start = (covariance_RR, jnp.zeros_like(covariance_RR))
    return lax.fori_loop(jnp.int32(0), jnp.int32(r_max), eliminate, start)[1]


def add_noise(
    key: jax.Array, x_DN: jax.Array, manifold: Manifold, sigma: jax.Array | float
) -> jax.Array:
    """x + sigma N(0, I) in the true dimensions: data near the manifold, no longer on it."""
    d_max, n = x_DN.shape
    noise_DN = draw_rows(key, d_max, lambda k: jax.random.normal(k, (n,)))
    return x_DN + sigma * noise_DN * manifold.mask_D[:, None]
