"""Heads: from the last hidden layer of an encoder to q(z | x), of diagonal or full covariance."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.networks.base import Diagonal, Full, Posterior
from mdvae.networks.layers import Linear


class GaussianHeads(nn.Module):
    """h_HB -> q(z | x): the mean, and log variances or a Cholesky factor.

    The factor is diag(exp(logvar / 2)) (I + N), N strictly lower triangular; N starts at 0.
    """

    kappa: int
    covariance: str = "diagonal"
    init_kernel: Callable[..., jax.Array] | None = None
    spectral: bool = False

    @nn.compact
    def __call__(self, h_HB: jax.Array) -> Posterior:
        heads = Linear((2, self.kappa), None, True, self.init_kernel, self.spectral, name="heads")
        heads_2KB = heads(h_HB)
        mean_KB, logvar_KB = heads_2KB[0], heads_2KB[1]
        if self.covariance == "diagonal":
            return Diagonal(mean_KB, logvar_KB)
        kernel = self.param(
            "factor", nn.initializers.zeros, (h_HB.shape[0], self.kappa, self.kappa)
        )
        below_KKB = jnp.einsum("hij,hb->ijb", kernel, h_HB, precision="highest")
        is_below_KK = jnp.tril(jnp.ones((self.kappa, self.kappa), below_KKB.dtype), -1)
        eye_KK = jnp.eye(self.kappa, dtype=below_KKB.dtype)
        # Entries count from the scale of their row, which spans orders of magnitude.
        unit_KKB = below_KKB * is_below_KK[:, :, None] + eye_KK[:, :, None]
        return Full(mean_KB, jnp.exp(0.5 * logvar_KB)[:, None] * unit_KKB)
