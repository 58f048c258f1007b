"""Diagonal Gaussians, elementwise: the caller sums over the axes it means."""

import jax
import jax.numpy as jnp


def reparameterise(mean: jax.Array, logvar: jax.Array, noise: jax.Array) -> jax.Array:
    """A sample of N(mean, exp(logvar)) from standard normal noise; all three of one shape."""
    return mean + jnp.exp(0.5 * logvar) * noise


def kl_normal(
    mean_q: jax.Array,
    logvar_q: jax.Array,
    mean_p: jax.Array | float = 0.0,
    logvar_p: jax.Array | float = 0.0,
) -> jax.Array:
    """KL(q || p) in nats of scalar Gaussians, elementwise.

    1/2 [s_q/s_p + (m_q - m_p)^2/s_p - 1 + log s_p - log s_q], s the variances; the default p is
    the standard normal prior.
    """
    # A square, so that the compiler sees the exponential that `reparameterise` needs as well.
    ratio = jnp.exp(0.5 * (logvar_q - logvar_p)) ** 2
    squared = (mean_q - mean_p) ** 2 * jnp.exp(-jnp.asarray(logvar_p, mean_q.dtype))
    return 0.5 * (ratio + squared - 1.0 + logvar_p - logvar_q)
