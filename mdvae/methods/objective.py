"""The loss, term by term and example by example, in nats.

CVAE-dims prints twice these values; see `to_paper_units`.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

LOG_2PI = math.log(2.0 * math.pi)


class Terms(NamedTuple):
    """Terms of the negative ELBO, [batch] each.

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


def squared_error(x: jax.Array, x_hat: jax.Array, sample_axis: int) -> jax.Array:
    """||x - x_hat||^2 of each sample, [batch]."""
    axes = tuple(axis for axis in range(x.ndim) if axis != sample_axis % x.ndim)
    return jnp.sum((x - x_hat) ** 2, axis=axes)


def gaussian_terms(
    recon_B: jax.Array, kl_B: jax.Array, log_gamma: jax.Array, d: jax.Array | float
) -> Terms:
    """Terms under a decoder N(x_hat, gamma I) (CVAE-dims, eqs. 1 and 2).

    Args:
        recon_B: squared error of each sample.
        kl_B: divergence of each sample, nats.
        d: the true width of x, as a float.
    """
    nll_B = 0.5 * (recon_B * jnp.exp(-log_gamma) + d * (log_gamma + LOG_2PI))
    return Terms(recon=recon_B, nll=nll_B, kl=kl_B, nelbo=nll_B + kl_B)


def in_own_units(values: dict[str, Any], log_scale: float, d: int) -> dict[str, Any]:
    """Means of losses of x = mean + scale x' from those of x' (`data.units`), in double precision.

    The density of x is that of x' over scale^d: nelbo, in nats, grows by d log scale. recon and
    gamma are multiplied by scale^2. The KL has no units.

    Args:
        values: by name; "nelbo", "recon" and "log_gamma" have units, others stay what they are.
        d: the true width of x.
    """

    def own(name: str, value: Any) -> Any:
        if name == "nelbo":
            return np.asarray(value, np.float64) + d * log_scale
        if name == "recon":
            return np.asarray(value, np.float64) * np.exp(2.0 * log_scale)
        if name == "log_gamma":
            return np.asarray(value, np.float64) + 2.0 * log_scale
        return value

    return {name: own(name, value) for name, value in values.items()}


def to_paper_units(nats: float) -> float:
    """The -ELBO and KL columns of CVAE-dims: 2x nats."""
    return 2.0 * nats
