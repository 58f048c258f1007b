"""Masks of latents: mu = 1 - exp(-theta), where theta starts, and how a mask is driven to 0 or 1.

Of LMGAE (Mondal et al., "Towards Latent Space Optimality for Auto-Encoder Based Generative Models",
section 4); `lmgae.LMGAE` has the settings.
"""

import jax
import jax.numpy as jnp

from mdvae.methods.alternating import doubled
from mdvae.methods.base import Numbers
from mdvae.methods.padding import true_latents

ACTIVE_FROM = 0.1  # the mu from which on a latent counts as active, as published


def mask_of(theta_K: jax.Array | None, like_KB: jax.Array, numbers: Numbers) -> jax.Array:
    """mu, [kappa, 1], 0 in padding; without theta 1 in true latents."""
    is_true_K = true_latents(like_KB, numbers["kappa"])
    return (is_true_K if theta_K is None else is_true_K * -jnp.expm1(-theta_K))[:, None]


def polarisation(mu: jax.Array) -> jax.Array:
    """sum |mu (1 - mu)|: 0 where each latent is used or not."""
    return jnp.sum(jnp.abs(mu * (1.0 - mu)))


def schedule_unit(kappa: jax.Array) -> jax.Array:
    """S, in steps; see `LMGAE`."""
    return jnp.where(kappa <= 20, 75, jnp.minimum(10_000, (112.5 * kappa).astype(jnp.int32)))


def first_move(steps: int, numbers: Numbers) -> jax.Array:
    """The step from which on the mask is trained."""
    return jnp.round(numbers["mask_after"] * steps).astype(jnp.int32)


def polarise_weight(step: jax.Array, steps: int, numbers: Numbers) -> jax.Array:
    """lambda_3 at a step; its clock starts as the mask begins to move."""
    step = jnp.maximum(0, step - first_move(steps, numbers))
    first = numbers["polarise"] / numbers["kappa"] ** numbers["polarise_power"]
    every = numbers["polarise_every"]
    own = jnp.maximum(1, jnp.round(every * steps).astype(jnp.int32))
    every = jnp.where(every > 0, own, 4 * schedule_unit(numbers["kappa"]))
    return doubled(first, every, numbers["polarise_cap"], step)


def started(uniform_K: jax.Array, numbers: Numbers) -> jax.Array:
    """theta before the first step, from draws between 0 and 1; 0 in padding."""
    low, high = numbers["theta_min"], numbers["theta_max"]
    return true_latents(uniform_K, numbers["kappa"]) * (low + (high - low) * uniform_K)
