"""The critic of codes: an MLP from z to one number, whose slope tells two laws of z apart."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.networks.base import Params
from mdvae.networks.layers import Linear, hidden_layers, kernel_law


class Critic(NamedTuple):
    """Pure functions.

    Attributes:
        init: key -> params at the true width of z. Padded by zeros they train as without: a latent
            that is 0 meets a row of the first kernel that stays 0.
        apply: (params, z_KB) -> value_B.
    """

    init: Callable[[jax.Array], Params]
    apply: Callable[[Params, jax.Array], jax.Array]

    def penalty(
        self,
        params: Params,
        z_KB: jax.Array,
        scale_K1: jax.Array | float = 1.0,
        *,
        one_sided: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        """mean (||slope|| - 1)^2 (Gulrajani et al., 2017, eq. 3), and mean ||slope||.

        Args:
            z_KB: where the slope in z is taken, of each sample.
            scale_K1: of latents, [kappa, 1], the slope being that in v of the value at scale * v.
            one_sided: whether slopes below 1 cost nothing (Petzka et al., 2018, eq. 8).
        """
        slope_KB = jax.grad(lambda z_KB: jnp.sum(self.apply(params, z_KB)))(z_KB)
        squares_B = jnp.sum((scale_K1 * slope_KB) ** 2, axis=0)
        # With the gradient 0 where the slope is 0, as that of a dead layer is.
        is_sloped = squares_B > 0
        length_B = jnp.where(is_sloped, jnp.sqrt(jnp.where(is_sloped, squares_B, 1.0)), squares_B)
        beyond_B = length_B - 1.0
        beyond_B = jnp.maximum(beyond_B, 0.0) if one_sided else beyond_B
        return jnp.mean(beyond_B**2), jnp.mean(length_B)


class MLPCritic(nn.Module):
    """z_KB -> value_B."""

    hidden: tuple[int, ...]
    activation: str
    initial: str

    @nn.compact
    def __call__(self, z_KB: jax.Array) -> jax.Array:
        h_HB = hidden_layers(z_KB, self.hidden, self.activation, self.initial)
        return Linear((1,), init_kernel=kernel_law(self.initial, len(h_HB)), name="value")(h_HB)[0]


def critic_of(
    kappa: int, hidden: tuple[int, ...], activation: str, initial: str = "uniform"
) -> Critic:
    """The critic of codes of a width, feature-major.

    Args:
        hidden: widths of its hidden layers; () makes it linear.
        activation: of these, by its name in `layers.FUNCTIONS`.
        initial: law of the initial weights, by its name in `layers.INITIALS`.
    """
    module = MLPCritic(hidden, activation, initial)

    def init(key: jax.Array) -> Params:
        return module.init(key, jnp.zeros((kappa, 1)))["params"]

    def apply(params: Params, z_KB: jax.Array) -> jax.Array:
        return jnp.asarray(module.apply({"params": params}, z_KB))

    return Critic(init, apply)
