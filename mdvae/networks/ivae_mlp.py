"""Networks kind "ivae_mlp": MLPs of an identifiable VAE on vectors x that are observed with u.

The encoder sees x and u side by side, the decoder z alone, and the prior u. Arrays are
feature-major, [width, batch]; conditions are named c, as everywhere.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.data.base import Batch
from mdvae.networks.base import Diagonal, Networks, NetworksKind, Params, Posterior, Stats
from mdvae.networks.conditional import Joint
from mdvae.networks.layers import FUNCTIONS, OUTPUTS, Linear, activate, hidden_layers, output_of
from mdvae.networks.mlp import ENCODER_INPUTS, on_images, reach, whitened
from mdvae.networks.priors import (
    PRIOR_HIDDEN_RULE,
    PRIOR_RULE,
    check_told,
    learns_mean,
    with_factor_prior,
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


@dataclasses.dataclass(frozen=True)
class IVAEMLP(Section):
    """Encoder, decoder and prior of fully connected layers.

    Attributes:
        kappa: width of the latent z.
        prior: what u decides of p(z | u): the "variance", with a mean of 0 (published), "both", or
            the "mean", with a variance of 1; or "standard", N(0, I), nothing.
        prior_hidden: hidden layers of the prior, leaky ReLUs.
        decoder_told: whether the decoder is given u too, as that of a CVAE is.
        hidden, decoder_hidden: hidden layers of the encoder and of the decoder; an empty
            decoder_hidden mirrors hidden.
        activation, output: of the hidden layers of both, and of the decoder.
        encoder_input: "whitened" feeds the encoder training data of zero mean and unit covariance
            (see `data.whitening`), "raw" feeds it x; the decoder always models x.
    """

    kappa: int = required(whole(1))
    prior: str = static("variance", PRIOR_RULE)
    prior_hidden: tuple[int, ...] = static((50, 50, 50), PRIOR_HIDDEN_RULE)
    decoder_told: bool = static(False, TRUTH)
    hidden: tuple[int, ...] = static(
        (64,), widths("a tuple of layer widths of 1 or more, such as (64,)")
    )
    decoder_hidden: tuple[int, ...] = static(
        (), widths("a tuple of layer widths of 1 or more, or () to mirror hidden")
    )
    activation: str = static("relu", one_of(tuple(FUNCTIONS)))
    output: str = static("sigmoid", one_of(OUTPUTS))
    encoder_input: str = static("whitened", one_of(ENCODER_INPUTS))


def _beside(h_IB: jax.Array, c_CB: jax.Array, widths: tuple[int, ...], activation: str) -> Any:
    """Hidden layers of two inputs side by side, made in the module that calls."""
    h_HB = activate(activation, Joint((widths[0],))(h_IB, c_CB))
    return hidden_layers(h_HB, widths[1:], activation)


class Encoder(nn.Module):
    """x_DB, c_CB -> q(z | x, u)."""

    settings: Any
    kappa: int

    @nn.compact
    def __call__(self, x_DB: jax.Array, c_CB: jax.Array) -> Posterior:
        own = self.settings
        h_HB = _beside(x_DB, c_CB, own.hidden, own.activation)
        heads_2KB = Linear((2, self.kappa), name="heads")(h_HB)
        return Diagonal(heads_2KB[0], heads_2KB[1])


class Decoder(nn.Module):
    """z_KB, c_CB -> x_hat_DB, the mean of p(x | z), or of p(x | z, u)."""

    settings: Any
    d: int

    @nn.compact
    def __call__(self, z_KB: jax.Array, c_CB: jax.Array) -> jax.Array:
        own = self.settings
        hidden = own.decoder_hidden or own.hidden[::-1]
        if own.decoder_told:
            h_HB = _beside(z_KB, c_CB, hidden, own.activation)
        else:
            h_HB = hidden_layers(z_KB, hidden, own.activation)
        return output_of(own.output, Linear((self.d,), name="mean")(h_HB))


def make(settings: IVAEMLP, sizes: Sizes) -> Networks:
    """The networks at some sizes; images are flattened."""
    kappa, d, c = sizes.kappa, sizes.d, sizes.c
    encoder, decoder = Encoder(settings, kappa), Decoder(settings, d)

    def init(key: jax.Array) -> tuple[Params, Stats]:
        key_encoder, key_decoder = jax.random.split(key)
        x, z, condition = (jnp.zeros((width, 1)) for width in (d, kappa, c))
        params = {
            "encoder": encoder.init(key_encoder, x, condition)["params"],
            "decoder": decoder.init(key_decoder, z, condition)["params"],
        }
        return params, {}

    def encode(params: Params, stats: Stats, batch: Batch, _: bool) -> tuple[Posterior, Stats]:
        posterior: Any = encoder.apply({"params": params["encoder"]}, batch["x"], batch["c"])
        return posterior, stats

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, _: bool
    ) -> tuple[jax.Array, Stats]:
        x_hat_DB = decoder.apply({"params": params["decoder"]}, z_KB, batch.get("c"))
        return jnp.asarray(x_hat_DB), stats

    networks = with_factor_prior(Networks(init, encode, decode), settings, sizes, False)
    if settings.encoder_input == "whitened":
        networks = whitened(networks, d)
    return on_images(networks, sizes.shape) if sizes.shape else networks


def _check(cell: Cell, named: Named) -> None:
    """Refuses settings that the networks have no use for."""
    check_told(cell, named)
    if cell.sizes.points:
        raise ConfigError(
            f"networks.kind: {cell.networks.kind!r} has no use for data.kind {cell.data.kind!r}; it"
            " must be one for sequences, such as 'lstm'"
        )
    if not cell.value("hidden"):
        raise ConfigError(f"{named('hidden')}: () is not usable beside u; give a layer, as (64,)")


NETWORKS.add(
    "ivae_mlp",
    NetworksKind(
        settings=IVAEMLP,
        make=make,
        check=_check,
        reach=reach,
        tells=lambda settings: settings.decoder_told,
        carries=learns_mean,
    ),
)
