"""The loss, term by term and example by example, in nats.

CVAE-dims prints twice these values; see `to_paper_units`.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

LOG_2PI = math.log(2.0 * math.pi)
SQUARED, NORM, CROSS_ENTROPY = RECONSTRUCTIONS = "squared", "norm", "cross_entropy"
# Logs of smaller chances, of x or against it, are that of this one.
LEAST_CHANCE = 1e-7
# Of the running mean of a gamma in closed form, over about a hundred batches.
GAMMA_DECAY = 0.99


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


def root(squares: jax.Array) -> jax.Array:
    """The root of what is not negative, with the gradient 0 at 0."""
    return jnp.sqrt(jnp.where(squares > 0, squares, 1.0)) * jnp.sign(squares)


def reconstruction(
    name: str, x: jax.Array, x_hat: jax.Array, sample_axis: int, d: jax.Array | float
) -> jax.Array:
    """The error of each sample, [batch], by its name in RECONSTRUCTIONS; of padding it is 0.

    "squared" and "cross_entropy", that of x in [0, 1] and chances x_hat in nats, are means over
    the entries of x; "norm" is ||x - x_hat||.

    Args:
        d: the true width of x, as a float.
    """
    if name == CROSS_ENTROPY:
        hit = jnp.log(jnp.maximum(x_hat, LEAST_CHANCE))
        missed = jnp.log1p(-jnp.minimum(x_hat, 1.0 - LEAST_CHANCE))
        axes = tuple(axis for axis in range(x.ndim) if axis != sample_axis % x.ndim)
        return -jnp.sum(x * hit + (1.0 - x) * missed, axis=axes) / d
    squared_B = squared_error(x, x_hat, sample_axis)
    return root(squared_B) if name == NORM else squared_B / d


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


def best_log_gamma(recon_B: jax.Array, d: jax.Array | float) -> jax.Array:
    """The log gamma of the least loss of a batch, log of mean ||x - x_hat||^2 / d; not to follow.

    At the least of the loss in gamma the gradient in all else is as if it were held.
    """
    return jax.lax.stop_gradient(jnp.log(jnp.mean(recon_B) / d))


def running_log_gamma(before: jax.Array, found: jax.Array, step: jax.Array) -> jax.Array:
    """The mean of those of all batches until there are enough of them for a running one.

    Args:
        before: that mean after `step` steps.
        found: of the batch of this step.
    """
    weight = jnp.maximum(1.0 - GAMMA_DECAY, 1.0 / (step.astype(before.dtype) + 1.0))
    return before + weight * (found - before)


def to_paper_units(nats: float) -> float:
    """The -ELBO and KL columns of CVAE-dims: 2x nats."""
    return 2.0 * nats
