"""Networks kind "ivae_conv": convolutions of the published identifiable VAE of 64x64 images.

Four convolutions that halve the image, a dense layer on their output and u, and heads; back without
u, by two dense layers and four transposed convolutions. The paper's table has 4x4 kernels all over
and one dense layer in the decoder; the published code, which this follows, has 2x2 in the encoder's
last two and a second dense layer. Kernels start by Glorot's law and biases at 0, as in Keras.
"""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax

from mdvae.networks.base import Diagonal, Networks, NetworksKind, Posterior
from mdvae.networks.convolutions import flatten, unflatten
from mdvae.networks.images import (
    Conv,
    ConvTransposed,
    ImageNetworks,
    check_images,
    evaluated_together,
    image_networks,
    unit_interval,
)
from mdvae.networks.layers import Linear, sigmoid
from mdvae.networks.priors import (
    PRIOR_HIDDEN_RULE,
    PRIOR_RULE,
    check_told,
    dense,
    glorot,
    learns_mean,
    with_factor_prior,
)
from mdvae.settings.fields import ConfigError, static, whole
from mdvae.settings.grid import Cell, Named, Sizes
from mdvae.settings.registry import NETWORKS

HALVINGS = 4
# Kernels of the encoder, and channels as multiples of the setting.
SIZES, ENCODER, DECODER = (4, 4, 2, 2), (1, 1, 2, 2), (2, 1, 1)


@dataclasses.dataclass(frozen=True)
class IVAEConv(ImageNetworks):
    """See `ImageNetworks` for what all image networks have.

    Attributes:
        prior: what u decides of p(z | u); see `ivae_mlp`.
        prior_hidden: hidden layers of the prior, leaky ReLUs; published are three of 50.
        channels: of the first convolutions; published are 32. The last have twice as many.
        dense, decoder_dense: widths of the dense layers; published are 261 and 256.
    """

    prior: str = static("variance", PRIOR_RULE)
    prior_hidden: tuple[int, ...] = static((50, 50, 50), PRIOR_HIDDEN_RULE)
    channels: int = static(32, whole(1))
    dense: int = static(261, whole(1))
    decoder_dense: int = static(256, whole(1))


def _conv_law(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    rows, columns, inputs, outputs = shape
    return glorot(key, shape, rows * columns * inputs, rows * columns * outputs)


class Encoder(nn.Module):
    """x in blocks, c_CB -> q(z | x, u)."""

    settings: Any
    kappa: int
    by_batch: bool

    @nn.compact
    def __call__(self, x: jax.Array, c_CB: jax.Array) -> Posterior:
        own, h = self.settings, x
        layer = {"stride": 2, "use_bias": True, "precision": own.precision}
        for size, times in zip(SIZES, ENCODER, strict=True):
            conv = Conv(times * own.channels, size=size, init_kernel=_conv_law, **layer)
            h = jax.nn.relu(conv(h))
        h_HB = flatten(h)
        inputs = len(h_HB) + len(c_CB)

        def law(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            return glorot(key, shape, inputs, own.dense)

        # u has a kernel of its own beside that of the image.
        h_HB = Linear((own.dense,), init_kernel=law)(h_HB)
        h_HB = h_HB + Linear((own.dense,), use_bias=False, init_kernel=law, name="condition")(c_CB)
        heads_2KB = dense((2, self.kappa), own.dense, "heads")(jax.nn.relu(h_HB))
        return Diagonal(heads_2KB[0], heads_2KB[1])


class Decoder(nn.Module):
    """z_KB -> x_hat in blocks, between 0 and 1; u is not looked at."""

    settings: Any
    shape: tuple[int, ...]
    by_batch: bool

    @nn.compact
    def __call__(self, z_KB: jax.Array, c_CB: jax.Array) -> jax.Array:
        own, (height, width, outputs) = self.settings, self.shape
        layer = {"precision": own.precision, "init_kernel": _conv_law}
        small = (height >> HALVINGS, width >> HALVINGS, 2 * own.channels)
        h_HB = jax.nn.relu(dense((own.decoder_dense,), len(z_KB), "latent")(z_KB))
        h_HB = jax.nn.relu(dense((math.prod(small),), len(h_HB))(h_HB))
        h = unflatten(h_HB.reshape(*small, -1))
        for times in DECODER:
            h = jax.nn.relu(ConvTransposed(times * own.channels, **layer)(h))
        return sigmoid(ConvTransposed(outputs, **layer)(h))


def make(settings: Any, sizes: Sizes) -> Networks:
    """The networks, of which encoder and prior are given u."""
    networks = image_networks(settings, sizes, Encoder, Decoder)
    return with_factor_prior(networks, settings, sizes, transposed=True)


def _check(cell: Cell, named: Named) -> None:
    """Refuses data that are no images or have no condition, and idle settings."""
    check_told(cell, named)
    check_images(cell, named, 2**HALVINGS)
    for field, only in (("covariance", "diagonal"), ("evaluation", "running")):
        if cell.value(field) != only:
            raise ConfigError(
                f"{named(field)}: {cell.value(field)!r} is not usable with networks.kind"
                f" {cell.networks.kind!r}; it must be {only!r}"
            )


NETWORKS.add(
    "ivae_conv",
    NetworksKind(
        settings=IVAEConv,
        make=make,
        check=_check,
        reach=unit_interval,
        loop=True,
        tells=lambda settings: False,
        carries=learns_mean,
        together=evaluated_together,
    ),
)
