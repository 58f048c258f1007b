"""Networks kind "scale_blocks": the ResNet of the two-stage VAE's figures (TwoStage, Figure 12).

At each scale some residual blocks, between scales a convolution that halves the image and doubles
the channels, then a dense block; the decoder goes back from an image of 2 x 2, or from the smallest
that halving comes to, such as 7 x 7 of 28 x 28.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.networks.base import Networks, NetworksKind, Posterior
from mdvae.networks.conditional import Joint
from mdvae.networks.convolutions import flatten, unflatten
from mdvae.networks.heads import GaussianHeads
from mdvae.networks.images import (
    CHANNELS,
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
from mdvae.networks.layers import Linear, sigmoid
from mdvae.networks.resnet import POOLINGS
from mdvae.settings.fields import MOST_TRACED, one_of, static, whole
from mdvae.settings.grid import Sizes
from mdvae.settings.registry import NETWORKS

MOST_CHANNELS = 1_024
SMALLEST = 2
DECAY = 0.999


@dataclasses.dataclass(frozen=True)
class ScaleBlocks(ImageNetworks):
    """See `ImageNetworks` for what all image networks have.

    Attributes:
        channels: at the full size of the image, doubled with every halving up to 1,024; published
            are 16 in the code and 32 in the paper.
        scales: of the encoder, one halving less; 4 in the code.
        blocks: residual blocks of a scale; 1 in the code and 2 in the paper.
        pooling: "mean" of each channel (the code), or "flatten" (the paper).
        dense: width of the dense block; 512 in the code.
    """

    channels: int = static(16, whole(1))
    scales: int = static(4, whole(1, 16))
    blocks: int = static(1, whole(1, MOST_TRACED))
    pooling: str = static("mean", one_of(POOLINGS))
    dense: int = static(512, whole(1))


class ScaleBlock(nn.Module):
    """Residual blocks with a convolution in the shortcut, at one size and number of channels."""

    blocks: int
    by_batch: bool
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = x.shape[CHANNELS]
        for _ in range(self.blocks):
            h = x
            for _ in range(2):
                h = jax.nn.relu(BatchNorm(CHANNELS, self.by_batch, DECAY)(h))
                h = Conv(features, use_bias=True, precision=self.precision)(h)
            x = h + Conv(features, use_bias=True, precision=self.precision)(x)
        return x


class Encoder(nn.Module):
    """x in blocks, c_CB or None -> q(z | x, c)."""

    settings: Any
    kappa: int
    by_batch: bool

    @nn.compact
    def __call__(self, x: jax.Array, c_CB: jax.Array | None) -> Posterior:
        own = self.settings
        features = own.channels
        h = Conv(features, use_bias=True, precision=own.precision)(x)
        for scale in range(own.scales):
            if scale:
                features = min(2 * features, MOST_CHANNELS)
                h = Conv(features, stride=2, use_bias=True, precision=own.precision)(h)
            h = ScaleBlock(own.blocks, self.by_batch, own.precision)(h)
        if own.pooling == "mean":
            h = jnp.mean(h, axis=(1, 2), keepdims=True)
        return GaussianHeads(self.kappa, own.covariance)(self._dense(flatten(h), c_CB))

    def _dense(self, h_HB: jax.Array, c_CB: jax.Array | None) -> jax.Array:
        """The dense block, joined by features of the condition."""
        width = (self.settings.dense,)
        shortcut_HB = Linear(width)(h_HB)
        if c_CB is None:
            h_HB = Linear(width)(jax.nn.relu(h_HB))
        else:
            f_FB = class_features(c_CB)
            h_HB = Joint(width)(jax.nn.relu(h_HB), f_FB)
        return Linear(width)(jax.nn.relu(h_HB)) + shortcut_HB


def halvings(shape: tuple[int, ...]) -> int:
    """How often the decoder doubles an image to come to a shape."""
    count = 0
    while all((side >> count) % 2 == 0 and side >> count > SMALLEST for side in shape[:2]):
        count += 1
    return count


class Decoder(nn.Module):
    """z_KB, c_CB or None -> x_hat in blocks, between 0 and 1."""

    settings: Any
    shape: tuple[int, ...]
    by_batch: bool

    @nn.compact
    def __call__(self, z_KB: jax.Array, c_CB: jax.Array | None) -> jax.Array:
        own, (height, width, outputs) = self.settings, self.shape
        count = halvings(self.shape)
        features = [min(own.channels << k, MOST_CHANNELS) for k in range(count + 1)]
        small = (height >> count, width >> count, features[-1])
        if c_CB is None:
            h = unflatten(Linear(small)(z_KB))
        else:
            f_FB = class_features(c_CB)
            h = unflatten(Joint(small)(z_KB, f_FB))
        for width_of in features[-2::-1]:
            h = ConvTransposed(width_of, size=3, precision=own.precision)(h)
            h = ScaleBlock(own.blocks, self.by_batch, own.precision)(h)
        return sigmoid(Conv(outputs, use_bias=True, precision=own.precision)(h))


def make(settings: ScaleBlocks, sizes: Sizes) -> Networks:
    """The networks of a VAE, or of a CVAE where there is a condition."""
    return image_networks(settings, sizes, Encoder, Decoder)


NETWORKS.add(
    "scale_blocks",
    NetworksKind(
        settings=ScaleBlocks,
        make=make,
        check=lambda cell, named: check_images(cell, named, 1),
        reach=unit_interval,
        loop=True,
        together=evaluated_together,
    ),
)
