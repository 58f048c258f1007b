"""Networks kind "infogan": the convolutions of InfoGAN, as the two-stage VAE has them (TwoStage).

Two convolutions of 4x4 that halve the image, a dense layer, heads; and back. Where published sets
the deviation of the encoder as a softplus, this has log variances like all networks here.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.networks.base import Networks, NetworksKind, Posterior
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
from mdvae.settings.fields import TRUTH, static, whole
from mdvae.settings.grid import Sizes
from mdvae.settings.registry import NETWORKS

HALVINGS = 2
SLOPE, DECAY, DEVIATION = 0.2, 0.999, 0.02
# The axis of features of vectors [features, batch].
VECTOR = 0


@dataclasses.dataclass(frozen=True)
class InfoGAN(ImageNetworks):
    """See `ImageNetworks` for what all image networks have.

    Attributes:
        channels: of the convolution at half of the image's size; published are 64. That at a
            quarter has twice as many.
        dense: width of the dense layer; published are 1,024.
        spectral: whether the encoder's weights are divided by their spectral norms (published).
    """

    channels: int = static(64, whole(1))
    dense: int = static(1_024, whole(1))
    spectral: bool = static(False, TRUTH)


def _leaky(x: jax.Array) -> jax.Array:
    return jax.nn.leaky_relu(x, SLOPE)


class Encoder(nn.Module):
    """x in blocks, c_CB or None -> q(z | x, c)."""

    settings: Any
    kappa: int
    by_batch: bool

    @nn.compact
    def __call__(self, x: jax.Array, c_CB: jax.Array | None) -> Posterior:
        own, normal = self.settings, nn.initializers.normal(DEVIATION)
        layer = {
            "size": 4,
            "stride": 2,
            "use_bias": True,
            "precision": own.precision,
            "init_kernel": nn.initializers.truncated_normal(DEVIATION),
            "spectral": own.spectral,
        }
        h = _leaky(Conv(own.channels, **layer)(x))
        h = Conv(2 * own.channels, **layer)(h)
        h_HB = flatten(_leaky(BatchNorm(CHANNELS, self.by_batch, DECAY)(h)))
        if c_CB is not None:
            f_FB = class_features(c_CB)
            h_HB = jnp.concatenate([h_HB, f_FB])  # neither is padded
        h_HB = Linear((own.dense,), None, True, normal, own.spectral)(h_HB)
        h_HB = _leaky(BatchNorm(VECTOR, self.by_batch, DECAY)(h_HB))
        return GaussianHeads(self.kappa, own.covariance, normal, own.spectral)(h_HB)


class Decoder(nn.Module):
    """z_KB, c_CB or None -> x_hat in blocks, between 0 and 1."""

    settings: Any
    shape: tuple[int, ...]
    by_batch: bool

    @nn.compact
    def __call__(self, z_KB: jax.Array, c_CB: jax.Array | None) -> jax.Array:
        own, (height, width, outputs) = self.settings, self.shape
        normal = nn.initializers.normal(DEVIATION)
        layer = {"precision": own.precision, "init_kernel": normal}

        def norm(h: jax.Array, axis: int) -> jax.Array:
            return jax.nn.relu(BatchNorm(axis, self.by_batch, DECAY)(h))

        h_HB = Linear((own.dense,), None, True, normal, name="latent")(z_KB)
        if c_CB is not None:
            f_FB = class_features(c_CB)
            h_HB = h_HB + Linear((own.dense,), None, False, normal, name="condition")(f_FB)
        h_HB = norm(h_HB, VECTOR)
        small = (height >> HALVINGS, width >> HALVINGS, 2 * own.channels)
        h_HB = norm(Linear((small[0] * small[1] * small[2],), None, True, normal)(h_HB), VECTOR)
        h = unflatten(h_HB.reshape(*small, -1))
        h = norm(ConvTransposed(own.channels, **layer)(h), CHANNELS)
        return sigmoid(ConvTransposed(outputs, **layer)(h))


def make(settings: InfoGAN, sizes: Sizes) -> Networks:
    """The networks of a VAE, or of a CVAE where there is a condition."""
    return image_networks(settings, sizes, Encoder, Decoder)


NETWORKS.add(
    "infogan",
    NetworksKind(
        settings=InfoGAN,
        make=make,
        check=lambda cell, named: check_images(cell, named, 2**HALVINGS),
        reach=unit_interval,
        loop=True,
        together=evaluated_together,
    ),
)
