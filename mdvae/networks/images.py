"""Layers of networks on images, and what such networks share.

Batches hold images as [batch, height, width, channels]. Inside they are in blocks with samples
last, [blocks, height, width, channels, samples]; see `convolutions`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.data.base import Batch
from mdvae.networks.base import Diagonal, Networks, Params, Posterior, Stats
from mdvae.networks.conditional import ConditionalPrior, Features
from mdvae.networks.convolutions import (
    convolve,
    convolve_transposed,
    from_blocks,
    is_own,
    to_blocks,
)
from mdvae.networks.layers import STATS, spectral_norm
from mdvae.settings.fields import (
    ConfigError,
    Section,
    one_of,
    required,
    static,
    whole,
)
from mdvae.settings.grid import Cell, Named, Sizes

COVARIANCES = ("diagonal", "full")
EVALUATIONS = ("running", "batch")
PRECISIONS = ("float32", "bfloat16")
PRIORS = ("standard", "learned")
# Of the published networks: what a class is turned into before it joins images or latents.
CONDITION_HIDDEN, CONDITION_FEATURES = 16, 5
# The axis of channels of blocks of images.
CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class ImageNetworks(Section):
    """Settings that all networks on images have.

    Attributes:
        kappa: width of the latent z.
        covariance: of the encoder: "diagonal", or "full" by its Cholesky factor.
        prior: of a CVAE: "standard", N(0, I), or "learned", p(z | c).
        evaluation: of batch normalisation outside training: by "running" statistics, or by those of
            the "batch" that is evaluated, as the published models were.
        precision: of the images and kernels of convolutions, which are summed in float32.
    """

    kappa: int = required(whole(1))
    covariance: str = static("diagonal", one_of(COVARIANCES))
    prior: str = static("standard", one_of(PRIORS))
    evaluation: str = static("running", one_of(EVALUATIONS))
    precision: str = static("float32", one_of(PRECISIONS))


def _uniform(bound: float) -> Callable[..., jax.Array]:
    def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return draw


def rounded(x: jax.Array, precision: str) -> jax.Array:
    """x as convolutions multiply it: rounded, and in bfloat16 where they are the compiler's."""
    if precision == "float32":
        return x
    short = x.astype(jnp.bfloat16)
    return short.astype(x.dtype) if is_own() else short


def class_features(c_CB: jax.Array) -> jax.Array:
    """What the class is turned into before it joins images or latents; in a module that calls."""
    return Features(CONDITION_HIDDEN, CONDITION_FEATURES, "prelu")(c_CB)


class Conv(nn.Module):
    """A convolution with zeros around, to 1 / stride of the height and width.

    Weights and biases start uniform in +-1/sqrt(fan-in), as the published models did.

    Attributes:
        init_kernel: of the kernel instead, (key, shape) -> array; the bias then starts at 0.
        spectral: whether the kernel is divided by its spectral norm; see `layers.spectral_norm`.
    """

    features: int
    size: int = 3
    stride: int = 1
    use_bias: bool = False
    precision: str = "float32"
    init_kernel: Callable[..., jax.Array] | None = None
    spectral: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        bound = 1.0 / math.sqrt(self.size**2 * x.shape[CHANNELS])
        shape = (self.size, self.size, x.shape[CHANNELS], self.features)
        kernel = self.param("kernel", self.init_kernel or _uniform(bound), shape)
        if self.spectral:
            kernel = kernel / spectral_norm(self, kernel, (self.features,))
        x, kernel = rounded(x, self.precision), rounded(kernel, self.precision)
        y = convolve(x, kernel, self.stride, (self.size - 1) // 2)
        if self.use_bias:
            bias = self.param("bias", _bias(self.init_kernel, bound), (self.features,))
            y = y + bias[None, None, None, :, None]
        return y


class ConvTransposed(nn.Module):
    """A transposed convolution, to stride times the height and width.

    Of an odd size the last row and column of what it makes are left out where there is one more.
    """

    features: int
    size: int = 4
    stride: int = 2
    use_bias: bool = True
    precision: str = "float32"
    init_kernel: Callable[..., jax.Array] | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        _, height, width, channels, _ = x.shape
        bound = 1.0 / math.sqrt(self.size**2 * self.features)
        shape = (self.size, self.size, channels, self.features)
        kernel = self.param("kernel", self.init_kernel or _uniform(bound), shape)
        x, kernel = rounded(x, self.precision), rounded(kernel, self.precision)
        padding = (self.size - self.stride) // 2
        y = convolve_transposed(x, kernel, self.stride, padding)
        y = y[:, : height * self.stride, : width * self.stride]
        if self.use_bias:
            bias = self.param("bias", _bias(self.init_kernel, bound), (self.features,))
            y = y + bias[None, None, None, :, None]
        return y


def _bias(init: Callable[..., jax.Array] | None, bound: float) -> Callable[..., jax.Array]:
    return _uniform(bound) if init is None else nn.initializers.zeros


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the one of features (Ioffe and Szegedy, 2015).

    Attributes:
        axis: of features; the last is that of samples.
        by_batch: whether by the statistics of this batch, or by the running ones.
        decay: of running statistics; those of a batch enter them with 1 - decay.
    """

    axis: int
    by_batch: bool
    decay: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = x.shape[self.axis]
        shape = tuple(features if i == self.axis else 1 for i in range(x.ndim))
        others = tuple(i for i in range(x.ndim) if i != self.axis)
        scale = self.param("scale", nn.initializers.ones, (features,))
        shift = self.param("shift", nn.initializers.zeros, (features,))
        running_mean = self.variable(STATS, "mean", jnp.zeros, (features,))
        running_variance = self.variable(STATS, "variance", jnp.ones, (features,))
        if self.by_batch:
            mean = jnp.mean(x, axis=others)
            variance = jnp.mean((x - mean.reshape(shape)) ** 2, axis=others)
            if not self.is_initializing() and self.is_mutable_collection(STATS):
                # The unbiased variance, as the published models kept.
                count = x.size // features
                unbiased = variance * (count / max(count - 1, 1))
                for variable, new in ((running_mean, mean), (running_variance, unbiased)):
                    variable.value = self.decay * variable.value + (1.0 - self.decay) * new
        else:
            mean, variance = running_mean.value, running_variance.value
        factor = scale * jax.lax.rsqrt(variance + self.epsilon)
        return x * factor.reshape(shape) + (shift - mean * factor).reshape(shape)


def image_networks(
    settings: Any,
    sizes: Sizes,
    encoder_of: Callable[[Any, int, bool], nn.Module],
    decoder_of: Callable[[Any, tuple[int, ...], bool], nn.Module],
) -> Networks:
    """`Networks` of an encoder and a decoder of images, and the learned prior of a CVAE.

    Args:
        settings: with the fields of `ImageNetworks`.
        encoder_of: (settings, kappa, by_batch) -> a module of (x in blocks, c_CB or None) ->
            Posterior; by_batch says whether to normalise by the statistics of the batch.
        decoder_of: (settings, shape of an image, by_batch) -> a module of (z_KB, c_CB or None) ->
            x_hat in blocks.
    """

    def encoder(by_batch: bool) -> nn.Module:
        return encoder_of(settings, sizes.kappa, by_batch)

    def decoder(by_batch: bool) -> nn.Module:
        return decoder_of(settings, sizes.shape, by_batch)

    prior_net = ConditionalPrior(sizes.kappa, CONDITION_HIDDEN, "prelu")
    learned = settings.prior == "learned" and sizes.c > 0

    def condition(batch: Batch) -> jax.Array | None:
        return batch["c"].T if sizes.c else None

    def init(key: jax.Array) -> tuple[Params, Stats]:
        key_encoder, key_decoder, key_prior = jax.random.split(key, 3)
        c = jnp.zeros((sizes.c, 1)) if sizes.c else None
        made = {
            "encoder": encoder(False).init(key_encoder, to_blocks(jnp.zeros((1, *sizes.shape))), c),
            "decoder": decoder(False).init(key_decoder, jnp.zeros((sizes.kappa, 1)), c),
        }
        params = {name: each["params"] for name, each in made.items()}
        if learned:
            params["prior"] = prior_net.init(key_prior, c)["params"]
        return params, {name: each.get(STATS, {}) for name, each in made.items()}

    def apply(
        module: Callable[[bool], nn.Module],
        name: str,
        params: Params,
        stats: Stats,
        arguments: tuple[Any, ...],
        train: bool,
    ) -> tuple[Any, Stats]:
        by_batch = train or evaluated_together(settings)
        variables = {"params": params[name], STATS: stats[name]}
        if not train:
            return module(by_batch).apply(variables, *arguments), stats
        made, changed = module(by_batch).apply(variables, *arguments, mutable=[STATS])
        return made, {**stats, name: changed.get(STATS, {})}

    def encode(params: Params, stats: Stats, batch: Batch, train: bool) -> tuple[Posterior, Stats]:
        given = (to_blocks(batch["x"]), condition(batch))
        return apply(encoder, "encoder", params, stats, given, train)

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, train: bool
    ) -> tuple[jax.Array, Stats]:
        given = (z_KB, condition(batch))
        x_hat, stats = apply(decoder, "decoder", params, stats, given, train)
        return from_blocks(x_hat), stats

    def prior(params: Params, batch: Batch) -> Diagonal:
        mean_KB, logvar_KB = prior_net.apply({"params": params["prior"]}, condition(batch))
        return Diagonal(jnp.asarray(mean_KB), jnp.asarray(logvar_KB))

    return Networks(init, encode, decode, prior if learned else None)


def check_images(cell: Cell, named: Named, divisor: int) -> None:
    """Refuses data that are no images of sides that can be halved often enough, and idle settings.

    Args:
        divisor: of both sides of an image.
    """
    shape = cell.sizes.shape
    kind = cell.networks.kind
    if len(shape) != 3:
        raise ConfigError(
            f"networks.kind: {kind!r} has no use for data.kind {cell.data.kind!r}; it needs images"
        )
    if shape[0] % divisor or shape[1] % divisor:
        raise ConfigError(
            f"networks.kind: {kind!r} cannot halve images of {shape[0]} x {shape[1]} pixels often"
            f" enough; both sides must be multiples of {divisor}"
        )
    prior = getattr(cell.networks, "prior", "standard")
    if cell.sizes.c == 0 and prior != "standard":
        raise ConfigError(
            f"{named('prior')}: {prior!r} has no effect on a VAE; it must be 'standard', or"
            " method.model 'cvae'"
        )


def unit_interval(settings: Any) -> tuple[float, float]:
    """What a sigmoid can have."""
    return 0.0, 1.0


def evaluated_together(settings: Any) -> bool:
    """Whether evaluation is by the statistics of the batch."""
    return settings.evaluation == "batch"
