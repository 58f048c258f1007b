"""Networks kind "mlp": MLPs on vectors, with a condition where the method gives them one.

All arrays are feature-major, [width, batch]; see `layers`. The networks of a CVAE are in
`conditional`.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import Batch
from mdvae.data.whitening import apply_whitening, fit_whitening, identity
from mdvae.networks.base import (
    Diagonal,
    Networks,
    NetworksKind,
    Params,
    Point,
    Posterior,
    Stats,
)
from mdvae.networks.conditional import conditional_networks
from mdvae.networks.layers import (
    FUNCTIONS,
    INITIALS,
    OUTPUTS,
    hidden_layers,
    last_layer,
    output_of,
)
from mdvae.settings.fields import (
    TRUTH,
    ConfigError,
    Section,
    one_of,
    required,
    static,
    whole,
    widths,
)
from mdvae.settings.grid import Cell, Named, Sizes
from mdvae.settings.registry import NETWORKS

PRIORS = ("standard", "learned")
ENCODER_INPUTS = ("whitened", "raw")
GAUSSIAN, POINT = "gaussian", "point"
# The name of the fitted map in stats.
INPUT = "input"


@dataclasses.dataclass(frozen=True)
class MLP(Section):
    """Encoder and decoder of fully connected layers.

    Attributes:
        kappa: width of the latent z.
        prior: of a CVAE: "standard", N(0, I), or "learned", p(z | c).
        attention: whether a CVAE's decoder weighs z by sigmoids of an MLP of c.
        attention_hidden: width of that MLP; 0 takes that of the encoder's first hidden layer.
        hidden, decoder_hidden: hidden layers of the encoder, from x to z, and of the decoder, from
            z to x; an empty decoder_hidden mirrors hidden.
        activation, output: of all hidden layers, and of the decoder.
        skip: whether last layers see their inputs too, beside the last hidden layer, as in the
            second stage of TwoStage; in a CVAE they, and a learned prior's, see the condition too.
        encoder_input: "whitened" feeds the encoder training data of zero mean and unit covariance
            (see `data.whitening`), "raw" feeds it x; the decoder always models x.
        heads: what a VAE's encoder ends in: "gaussian", mean and log variance, or "point", the mean
            alone, for methods whose encoder is a function of x, such as "lmgae".
        initial: the law of a VAE's initial weights: "uniform" on +-1/sqrt(inputs), biases too, as
            in CVAE-dims, or "glorot", normal, with biases of 0, as in LMGAE.
    """

    kappa: int = required(whole(1))
    prior: str = static("standard", one_of(PRIORS))
    attention: bool = static(False, TRUTH)
    attention_hidden: int = static(0, whole(0))
    hidden: tuple[int, ...] = static(
        (64,), widths("a tuple of layer widths of 1 or more, such as (64,)")
    )
    decoder_hidden: tuple[int, ...] = static(
        (), widths("a tuple of layer widths of 1 or more, or () to mirror hidden")
    )
    activation: str = static("relu", one_of(tuple(FUNCTIONS)))
    skip: bool = static(False, TRUTH)
    encoder_input: str = static("whitened", one_of(ENCODER_INPUTS))
    output: str = static("sigmoid", one_of(OUTPUTS))
    heads: str = static(GAUSSIAN, one_of((GAUSSIAN, POINT)))
    initial: str = static("uniform", one_of(INITIALS))


def _skipped(skip: bool, x_DB: jax.Array, h_HB: jax.Array) -> dict[str, jax.Array]:
    """What a last layer sees beside the hidden layer h: the inputs x, where there is one."""
    return {"skip": x_DB} if skip and h_HB is not x_DB else {}


class MLPEncoder(nn.Module):
    """x_DB -> q(z | x); one product makes both heads."""

    kappa: int
    hidden: tuple[int, ...]
    activation: str
    skip: bool
    heads: str
    initial: str

    @nn.compact
    def __call__(self, x_DB: jax.Array) -> Posterior:
        h_HB = hidden_layers(x_DB, self.hidden, self.activation, self.initial)
        features = (self.kappa,) if self.heads == POINT else (2, self.kappa)
        heads = last_layer(features, "heads", h_HB, _skipped(self.skip, x_DB, h_HB), self.initial)
        return Point(heads) if self.heads == POINT else Diagonal(heads[0], heads[1])


class MLPDecoder(nn.Module):
    """z_KB -> x_hat_DB, the mean of p(x | z)."""

    d: int
    hidden: tuple[int, ...]
    activation: str
    output: str
    skip: bool
    initial: str

    @nn.compact
    def __call__(self, z_KB: jax.Array) -> jax.Array:
        h_HB = hidden_layers(z_KB, self.hidden, self.activation, self.initial)
        x_DB = last_layer((self.d,), "mean", h_HB, _skipped(self.skip, z_KB, h_HB), self.initial)
        return output_of(self.output, x_DB)


def mlp_networks(settings: MLP, sizes: Sizes) -> Networks:
    """An encoder and a decoder without a condition, fed raw x.

    Args:
        sizes: widths of z and x; the padded ones where params are padded.
    """
    kappa, d = sizes.kappa, sizes.d
    hidden, decoder_hidden = settings.hidden, settings.decoder_hidden or settings.hidden[::-1]
    activation, skip, initial = settings.activation, settings.skip, settings.initial
    encoder = MLPEncoder(kappa, hidden, activation, skip, settings.heads, initial)
    decoder = MLPDecoder(d, decoder_hidden, activation, settings.output, skip, initial)

    def init(key: jax.Array) -> tuple[Params, Stats]:
        key_encoder, key_decoder = jax.random.split(key)
        params = {
            "encoder": encoder.init(key_encoder, jnp.zeros((d, 1)))["params"],
            "decoder": decoder.init(key_decoder, jnp.zeros((kappa, 1)))["params"],
        }
        return params, {}

    def encode(params: Params, stats: Stats, batch: Batch, _: bool) -> tuple[Posterior, Stats]:
        posterior: Any = encoder.apply({"params": params["encoder"]}, batch["x"])
        return posterior, stats

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, _: bool
    ) -> tuple[jax.Array, Stats]:
        x_hat_DB = decoder.apply({"params": params["decoder"]}, z_KB)
        return jnp.asarray(x_hat_DB), stats

    return Networks(init, encode, decode)


def whitened(networks: Networks, d: int) -> Networks:
    """Networks whose encoder is fed whitened x; the map is fitted to the training samples.

    Args:
        d: the width of x.
    """

    def init(key: jax.Array) -> tuple[Params, Stats]:
        params, stats = networks.init(key)
        return params, {**stats, INPUT: identity(d)}

    def encode(params: Params, stats: Stats, batch: Batch, train: bool) -> tuple[Posterior, Stats]:
        inputs = {**batch, "x": apply_whitening(stats[INPUT], batch["x"])}
        posterior, _ = networks.encode(params, stats, inputs, train)
        return posterior, stats

    def fit(samples: Mapping[str, np.ndarray]) -> Stats:
        return {INPUT: fit_whitening(samples["x"])}

    return networks._replace(init=init, encode=encode, fit=fit)


def on_images(networks: Networks, shape: tuple[int, ...]) -> Networks:
    """Networks on vectors [d, batch] as networks on images [batch, *shape] with the same values."""

    def flat(samples: Mapping[str, Any]) -> dict[str, Any]:
        return {name: x.reshape(len(x), -1).T for name, x in samples.items()}

    def encode(params: Params, stats: Stats, batch: Batch, train: bool) -> tuple[Posterior, Stats]:
        return networks.encode(params, stats, flat(batch), train)

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, train: bool
    ) -> tuple[jax.Array, Stats]:
        x_hat_DB, stats = networks.decode(params, stats, z_KB, flat(batch), train)
        return x_hat_DB.T.reshape(-1, *shape), stats

    prior, fit = networks.prior, networks.fit
    return networks._replace(
        encode=encode,
        decode=decode,
        prior=None if prior is None else lambda params, batch: prior(params, flat(batch)),
        fit=None if fit is None else lambda samples: fit(flat(samples)),
    )


def make(settings: MLP, sizes: Sizes) -> Networks:
    """The networks of a VAE, or of a CVAE where there is a condition; images are flattened."""
    if sizes.c == 0:
        networks = mlp_networks(settings, sizes)
    else:
        networks = conditional_networks(settings, sizes)
    if settings.encoder_input == "whitened":
        networks = whitened(networks, sizes.d)
    return on_images(networks, sizes.shape) if sizes.shape else networks


def _check(cell: Cell, named: Named) -> None:
    """Refuses settings that the networks have no use for."""
    settings: Any = cell.networks
    if cell.sizes.points:
        raise ConfigError(
            f"networks.kind: {settings.kind!r} has no use for data.kind {cell.data.kind!r}; it"
            " must be one for sequences, such as 'lstm'"
        )
    if cell.sizes.c and not settings.hidden:
        raise ConfigError(f"{named('hidden')}: () is not usable for a CVAE; give a layer, as (64,)")
    for field, idle in (("prior", "standard"), ("attention", False)):
        value = getattr(settings, field)
        if cell.sizes.c == 0 and value != idle:
            raise ConfigError(
                f"{named(field)}: {value!r} has no effect on a VAE; it must be {idle!r}, or"
                " method.model 'cvae'"
            )
    for field, idle in (("heads", GAUSSIAN), ("initial", "uniform")):
        value = getattr(settings, field)
        if cell.sizes.c and value != idle:
            raise ConfigError(
                f"{named(field)}: {value!r} has no effect on a CVAE; it must be {idle!r}"
            )


def reach(settings: Any) -> tuple[float, float]:
    """The least and the largest value of the decoder's last function."""
    return (0.0, 1.0) if settings.output == "sigmoid" else (-math.inf, math.inf)


NETWORKS.add("mlp", NetworksKind(settings=MLP, make=make, check=_check, reach=reach))
