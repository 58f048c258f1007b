"""Networks kind "resnet": residual blocks on images (CVAE-dims, appendix A), a class told or not.

The published layers, where they pool: a stem of 3x3 convolution; two blocks that halve the image,
the second with twice the channels; the mean of each channel; a dense layer; heads. Its means of z
are functions of 2 x channels numbers, 10 for a VAE, so that they lie on a set of at most so many
dimensions, however many latents are active. "flatten" keeps all pixels of all channels instead.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.networks.base import Networks, NetworksKind, Posterior
from mdvae.networks.conditional import Features, Joint
from mdvae.networks.convolutions import flatten, unflatten
from mdvae.networks.heads import GaussianHeads
from mdvae.networks.images import (
    CHANNELS,
    CONDITION_HIDDEN,
    BatchNorm,
    Conv,
    ConvTransposed,
    ImageNetworks,
    check_images,
    class_features,
    evaluated_together,
    image_networks,
    unit_interval,
)
from mdvae.networks.layers import Linear, PReLU, sigmoid
from mdvae.settings.fields import TRUTH, ConfigError, one_of, static, whole
from mdvae.settings.grid import Cell, Named, Sizes
from mdvae.settings.registry import NETWORKS

POOLINGS = ("mean", "flatten")
HALVINGS = 2


@dataclasses.dataclass(frozen=True)
class ResNet(ImageNetworks):
    """Encoder and decoder of residual blocks; see `ImageNetworks` for what all image networks have.

    Attributes:
        channels: of the stem; published are 5 for a VAE and 32 for a CVAE.
        pooling: "mean" of each channel (published), or "flatten".
        dense: width of the dense layer after that.
        attention: whether a CVAE's decoder weighs z by sigmoids of an MLP of c.
    """

    channels: int = static(5, whole(1))
    pooling: str = static("mean", one_of(POOLINGS))
    dense: int = static(32, whole(1))
    attention: bool = static(False, TRUTH)


class EncoderBlock(nn.Module):
    """Images of half the height and width."""

    features: int
    by_batch: bool
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def norm(y: jax.Array) -> jax.Array:
            return BatchNorm(CHANNELS, self.by_batch)(y)

        h = PReLU()(norm(Conv(self.features, stride=2, precision=self.precision)(x)))
        h = norm(Conv(self.features, precision=self.precision)(h))
        shortcut = Conv(self.features, size=1, stride=2, precision=self.precision)(x)
        return PReLU()(h + norm(shortcut))


class Encoder(nn.Module):
    """x in blocks, c_CB or None -> q(z | x, c)."""

    settings: Any
    kappa: int
    by_batch: bool

    @nn.compact
    def __call__(self, x: jax.Array, c_CB: jax.Array | None) -> Posterior:
        own = self.settings
        h = Conv(own.channels, precision=own.precision)(x)
        h = PReLU()(BatchNorm(CHANNELS, self.by_batch)(h))
        h = EncoderBlock(own.channels, self.by_batch, own.precision)(h)
        h = EncoderBlock(2 * own.channels, self.by_batch, own.precision)(h)
        if own.pooling == "mean":
            h_HB = flatten(jnp.mean(h, axis=(1, 2), keepdims=True))
        else:
            h_HB = flatten(h)
        if c_CB is None:
            h_HB = Linear((own.dense,))(h_HB)
        else:
            f_FB = class_features(c_CB)
            h_HB = Joint((own.dense,))(h_HB, f_FB)
        return GaussianHeads(self.kappa, own.covariance)(PReLU()(h_HB))


class DecoderBlock(nn.Module):
    """Images of twice the height and width."""

    by_batch: bool
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[CHANNELS]

        def norm(y: jax.Array) -> jax.Array:
            return BatchNorm(CHANNELS, self.by_batch)(y)

        x = x + PReLU()(norm(Conv(channels, precision=self.precision)(x)))
        return PReLU()(norm(ConvTransposed(channels, precision=self.precision)(x)))


class Decoder(nn.Module):
    """z_KB, c_CB or None -> x_hat in blocks, between 0 and 1."""

    settings: Any
    shape: tuple[int, ...]
    by_batch: bool

    @nn.compact
    def __call__(self, z_KB: jax.Array, c_CB: jax.Array | None) -> jax.Array:
        own, (height, width, outputs) = self.settings, self.shape
        small = (height >> HALVINGS, width >> HALVINGS, own.channels)
        if c_CB is None:
            h = Linear(small)(z_KB)
        else:
            if own.attention:
                weigh = Features(CONDITION_HIDDEN, z_KB.shape[0], "prelu", name="attention")
                z_KB = z_KB * sigmoid(weigh(c_CB))
            f_FB = class_features(c_CB)
            h = Joint(small)(z_KB, f_FB)
        h = unflatten(jax.nn.relu(h))
        for _ in range(HALVINGS):
            h = DecoderBlock(self.by_batch, own.precision)(h)
        h = Conv(outputs, precision=own.precision)(h)
        return sigmoid(PReLU()(BatchNorm(CHANNELS, self.by_batch)(h)))


def make(settings: ResNet, sizes: Sizes) -> Networks:
    """The networks of a VAE, or of a CVAE where there is a condition."""
    return image_networks(settings, sizes, Encoder, Decoder)


def _check(cell: Cell, named: Named) -> None:
    check_images(cell, named, 2**HALVINGS)
    if cell.sizes.c == 0 and cell.value("attention"):
        raise ConfigError(
            f"{named('attention')}: True has no effect on a VAE; it must be False, or"
            " method.model 'cvae'"
        )


NETWORKS.add(
    "resnet",
    NetworksKind(
        settings=ResNet,
        make=make,
        check=_check,
        reach=unit_interval,
        loop=True,
        together=evaluated_together,
    ),
)
