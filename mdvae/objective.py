"""The loss, term by term and example by example, in nats.

CVAE-dims prints twice these values; see `to_paper_units`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mdvae import distributions

LOG_2PI = math.log(2.0 * math.pi)
BLOCKS = 20


class Terms(NamedTuple):
    """Terms of the negative ELBO, [B] each.

    Attributes:
        recon: ||x - x_hat||^2, not halved (the papers' Recon).
        nll: -log p(x | z) of the Gaussian decoder, nats.
        kl: KL(q(z | x) || p(z)), nats.
        nelbo: nll + kl, nats.
    """

    recon: jax.Array
    nll: jax.Array
    kl: jax.Array
    nelbo: jax.Array


def gaussian_terms(
    x_DB: jax.Array,
    x_hat_DB: jax.Array,
    mean_KB: jax.Array,
    logvar_KB: jax.Array,
    log_gamma: jax.Array,
    d: jax.Array | float,
    prior_mean_KB: jax.Array | float = 0.0,
    prior_logvar_KB: jax.Array | float = 0.0,
) -> Terms:
    """Terms under a decoder N(x_hat, gamma I) and a Gaussian prior (CVAE-dims, eqs. 1 and 2).

    Padded rows must agree in x and x_hat, and be zero in mean and logvar; they then add nothing.

    Args:
        d: the true width of x, as a float.
        prior_mean_KB, prior_logvar_KB: of p(z | c); the standard normal by default.
    """
    recon_B = jnp.sum((x_DB - x_hat_DB) ** 2, axis=0)
    kl_KB = distributions.kl_normal(mean_KB, logvar_KB, prior_mean_KB, prior_logvar_KB)
    kl_B = jnp.sum(kl_KB, axis=0)
    nll_B = 0.5 * (recon_B * jnp.exp(-log_gamma) + d * (log_gamma + LOG_2PI))
    return Terms(recon=recon_B, nll=nll_B, kl=kl_B, nelbo=nll_B + kl_B)


def block_means(values_B: jax.Array) -> jax.Array:
    """Means over up to BLOCKS equal parts of a batch, the last axis.

    Samples beyond equal parts are left out.
    """
    blocks = min(BLOCKS, values_B.shape[-1])
    size = values_B.shape[-1] // blocks
    parts = values_B[..., : blocks * size].reshape(*values_B.shape[:-1], blocks, size)
    return jnp.mean(parts, axis=-1)


def to_paper_units(nats: float) -> float:
    """The -ELBO and KL columns of CVAE-dims: 2x nats."""
    return 2.0 * nats
