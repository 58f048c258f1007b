"""Masks of latents: mu = 1 - exp(-theta), where theta starts, and how a mask is driven to 0 or 1.

Of LMGAE (Mondal et al., "Towards Latent Space Optimality for Auto-Encoder Based Generative Models",
section 4); `lmgae.LMGAE` has the settings.
"""

from typing import Any

import jax
import jax.numpy as jnp

from mdvae.methods.alternating import doubled
from mdvae.methods.base import Numbers, Optimiser
from mdvae.methods.padding import true_latents
from mdvae.networks.base import Params

ACTIVE_FROM = 0.1  # the mu from which on a latent counts as active, as published
_TINY = 1e-30  # no gradient, no move
EACH, COMMON = "each", "common"  # of which latents an optimiser has the moments


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


def late_share(step: jax.Array, numbers: Numbers) -> jax.Array:
    """What losses are multiplied by at a step: 1, and a fifth from step 5 S on."""
    return jnp.where(step >= 5 * schedule_unit(numbers["kappa"]), 0.2, 1.0)


def started(uniform_K: jax.Array, numbers: Numbers) -> jax.Array:
    """theta before the first step, from draws between 0 and 1; 0 in padding."""
    low, high = numbers["theta_min"], numbers["theta_max"]
    return true_latents(uniform_K, numbers["kappa"]) * (low + (high - low) * uniform_K)


def optimiser_of(usual: Optimiser, moments: str) -> Optimiser:
    """The optimiser of theta, at its own rate.

    With moments of EACH latent, as of RMSProp, one that nothing pulls at is taken as far by noise
    as others by what pulls at them. With COMMON ones theta goes along its gradient, as far as
    `usual` would take one number whose gradient is the root of the mean square over true latents.
    """

    def at_own_rate(
        theta_K: Any, grad_K: Any, state: Any, step: jax.Array, numbers: Numbers
    ) -> tuple[Any, Any]:
        own = numbers["mask_rate"] * numbers["kappa"] ** numbers["mask_rate_power"]
        rates = {**numbers, "learning_rate": numbers["learning_rate"] * own}
        return usual.update(theta_K, grad_K, state, step, rates)

    def along(
        theta_K: jax.Array, grad_K: jax.Array, state: Any, step: jax.Array, numbers: Numbers
    ) -> tuple[jax.Array, Any]:
        size = jnp.sqrt(jnp.sum(grad_K**2) / numbers["kappa"])
        moved, state = at_own_rate(jnp.zeros_like(size), size, state, step, numbers)
        return theta_K + moved * grad_K / jnp.maximum(size, _TINY), state

    if moments == EACH:
        return Optimiser(usual.init, at_own_rate)
    return Optimiser(lambda theta_K: usual.init(theta_K[0]), along)


def decoded(params: Params, z_KB: jax.Array) -> jax.Array:
    """What a decoder sees of z."""
    return z_KB * -jnp.expm1(-params["theta"])[:, None] if "theta" in params else z_KB
