"""The prior p(z | u) of an identifiable VAE, beside any encoder and decoder.

With a mean of 0 and learned variances a latent of unknown sign cannot be what u says; with a
learned mean it can, at no cost in KL: the posterior is then the prior.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.data.base import Batch
from mdvae.networks.base import Diagonal, Networks, Params, Stats
from mdvae.networks.layers import Linear
from mdvae.settings.fields import ConfigError, one_of, widths
from mdvae.settings.grid import Cell, Named, Sizes

VARIANCE, BOTH, MEAN, STANDARD = PRIORS = "variance", "both", "mean", "standard"
PRIOR_RULE = one_of(PRIORS)
PRIOR_HIDDEN_RULE = widths("a tuple of layer widths of 1 or more, such as (50, 50, 50)")
# Of the leaky ReLUs of the published prior.
SLOPE = 0.1


def glorot(key: jax.Array, shape: tuple[int, ...], inputs: int, outputs: int) -> jax.Array:
    """Uniform of variance 2 / (inputs + outputs) (Glorot and Bengio, 2010, eq. 16)."""
    bound = (6.0 / (inputs + outputs)) ** 0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def dense(features: tuple[int, ...], inputs: int, name: str | None = None) -> Linear:
    """A layer whose kernel starts by Glorot's law, and its bias at 0; made in a module."""

    def law(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return glorot(key, shape, inputs, features[-1])

    return Linear(features, init_kernel=law, name=name)


class FactorPrior(nn.Module):
    """c_CB -> heads [1 or 2, kappa, batch]: the mean where it is learned, then the log variance."""

    kappa: int
    hidden: tuple[int, ...]
    heads: int

    @nn.compact
    def __call__(self, c_CB: jax.Array) -> jax.Array:
        h_HB = c_CB
        for width in self.hidden:
            h_HB = jax.nn.leaky_relu(dense((width,), len(h_HB))(h_HB), SLOPE)
        return dense((self.heads, self.kappa), len(h_HB), "heads")(h_HB)


def with_factor_prior(networks: Networks, settings: Any, sizes: Sizes, transposed: bool) -> Any:
    """Networks with the prior that `settings.prior` says, made of `settings.prior_hidden` units.

    Args:
        transposed: whether conditions are [batch, c], as those of images are, not [c, batch].
    """
    if settings.prior == STANDARD:
        return networks
    heads = 2 if settings.prior == BOTH else 1
    net = FactorPrior(sizes.kappa, settings.prior_hidden, heads)

    def init(key: jax.Array) -> tuple[Params, Stats]:
        key_networks, key_prior = jax.random.split(key)
        params, stats = networks.init(key_networks)
        made = net.init(key_prior, jnp.zeros((sizes.c, 1)))
        return {**params, "prior": made["params"]}, stats

    def prior(params: Params, batch: Batch) -> Diagonal:
        c_CB = batch["c"].T if transposed else batch["c"]
        found = jnp.asarray(net.apply({"params": params["prior"]}, c_CB))
        zero_KB = jnp.zeros_like(found[0])
        mean_KB = zero_KB if settings.prior == VARIANCE else found[0]
        return Diagonal(mean_KB, zero_KB if settings.prior == MEAN else found[-1])

    return networks._replace(init=init, prior=prior)


def learns_mean(settings: Any) -> bool:
    """Whether the mean of the prior depends on u."""
    return settings.prior in (BOTH, MEAN)


def check_told(cell: Cell, named: Named) -> None:
    """Refuses data, or methods, that give the networks no condition."""
    if cell.sizes.c == 0:
        raise ConfigError(
            f"networks.kind: {cell.networks.kind!r} needs a condition; it must be of data that have"
            " one, with method.kind 'ivae'"
        )
