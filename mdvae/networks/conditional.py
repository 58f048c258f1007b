"""MLPs of a CVAE: a condition c into the encoder, the decoder and, where it is learned, the prior.

c goes through an MLP of its own to kappa features, which stand beside x in the encoder and beside z
in the decoder (CVAE-dims, appendix A). With `skip` last layers see x, or z as attention has weighed
it, and c as well. Arrays are feature-major, [width, batch].
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.data.base import Batch
from mdvae.networks.base import Diagonal, Networks, Params, Posterior, Stats
from mdvae.networks.layers import Linear, activate, last_layer, output_of, sigmoid
from mdvae.settings.grid import Sizes


class Joint(nn.Module):
    """y = W^T x + V^T f + b: a layer on x and features together, its fan-in that of both.

    With a kernel for each, x and f can be padded apart.
    """

    features: tuple[int, ...]

    @nn.compact
    def __call__(self, x_IB: jax.Array, f_JB: jax.Array) -> jax.Array:
        bound = 1.0 / math.sqrt(x_IB.shape[0] + f_JB.shape[0])
        y_FB = Linear(self.features, bound=bound, name="input")(x_IB)
        return y_FB + Linear(self.features, bound=bound, use_bias=False, name="condition")(f_JB)


class Features(nn.Module):
    """c_CB -> features [outputs, B], one hidden layer."""

    width: int
    outputs: int
    activation: str

    @nn.compact
    def __call__(self, c_CB: jax.Array) -> jax.Array:
        h_HB = activate(self.activation, Linear((self.width,))(c_CB))
        return Linear((self.outputs,))(h_HB)


class ConditionalEncoder(nn.Module):
    """x_DB, c_CB -> mean_KB, logvar_KB of q(z | x, c)."""

    kappa: int
    hidden: tuple[int, ...]
    activation: str
    skip: bool

    @nn.compact
    def __call__(self, x_DB: jax.Array, c_CB: jax.Array) -> tuple[jax.Array, jax.Array]:
        f_KB = Features(self.hidden[0], self.kappa, self.activation)(c_CB)
        h_HB = activate(self.activation, Joint((self.hidden[0],))(x_DB, f_KB))
        for width in self.hidden[1:]:
            h_HB = activate(self.activation, Linear((width,))(h_HB))
        seen = {"skip": x_DB, "told": c_CB} if self.skip else {}
        heads_2KB = last_layer((2, self.kappa), "heads", h_HB, seen)
        return heads_2KB[0], heads_2KB[1]


class ConditionalDecoder(nn.Module):
    """z_KB, c_CB -> x_hat_DB, the mean of p(x | z, c).

    With attention, sigmoid weights from c, one per latent, multiply z (CVAE-dims, section 4.4).
    """

    d: int
    kappa: int
    hidden: tuple[int, ...]
    activation: str
    output: str
    attention: bool
    attention_hidden: int
    skip: bool

    @nn.compact
    def __call__(self, z_KB: jax.Array, c_CB: jax.Array) -> jax.Array:
        if self.attention:
            weights = Features(self.attention_hidden, self.kappa, self.activation, name="attention")
            z_KB = z_KB * sigmoid(weights(c_CB))
        f_KB = Features(self.hidden[0], self.kappa, self.activation)(c_CB)
        h_HB = activate(self.activation, Joint((self.hidden[0],))(z_KB, f_KB))
        for width in self.hidden[1:]:
            h_HB = activate(self.activation, Linear((width,))(h_HB))
        seen = {"skip": z_KB, "told": c_CB} if self.skip else {}
        return output_of(self.output, last_layer((self.d,), "mean", h_HB, seen))


class ConditionalPrior(nn.Module):
    """c_CB -> mean_KB, logvar_KB of p(z | c)."""

    kappa: int
    width: int
    activation: str
    skip: bool = False

    @nn.compact
    def __call__(self, c_CB: jax.Array) -> tuple[jax.Array, jax.Array]:
        f_KB = Features(self.width, self.kappa, self.activation)(c_CB)
        seen = {"told": c_CB} if self.skip else {}
        heads_2KB = last_layer((2, self.kappa), "heads", f_KB, seen)
        return heads_2KB[0], heads_2KB[1]


def conditional_networks(settings: Any, sizes: Sizes) -> Networks:
    """Encoder, decoder and prior of a CVAE, fed raw x.

    Args:
        settings: of kind "mlp" (`mlp.MLP`), with at least one hidden layer; the first is also the
            width of the MLPs on c of the encoder and the prior, the decoder's first of its own.
        sizes: widths of z, x and the condition; the padded ones where params are padded.
    """
    kappa, d, c = sizes.kappa, sizes.d, sizes.c
    hidden, activation = settings.hidden, settings.activation
    encoder = ConditionalEncoder(kappa, hidden, activation, settings.skip)
    decoder = ConditionalDecoder(
        d,
        kappa,
        settings.decoder_hidden or hidden[::-1],
        activation,
        settings.output,
        settings.attention,
        settings.attention_hidden or hidden[0],
        settings.skip,
    )
    prior_net = ConditionalPrior(kappa, hidden[0], activation, settings.skip)

    def init(key: jax.Array) -> tuple[Params, Stats]:
        key_encoder, key_decoder, key_prior = jax.random.split(key, 3)
        x, z, condition = jnp.zeros((d, 1)), jnp.zeros((kappa, 1)), jnp.zeros((c, 1))
        params = {
            "encoder": encoder.init(key_encoder, x, condition)["params"],
            "decoder": decoder.init(key_decoder, z, condition)["params"],
        }
        if settings.prior == "learned":
            params["prior"] = prior_net.init(key_prior, condition)["params"]
        return params, {}

    def encode(params: Params, stats: Stats, batch: Batch, _: bool) -> tuple[Posterior, Stats]:
        mean_KB, logvar_KB = encoder.apply({"params": params["encoder"]}, batch["x"], batch["c"])
        return Diagonal(jnp.asarray(mean_KB), jnp.asarray(logvar_KB)), stats

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, _: bool
    ) -> tuple[jax.Array, Stats]:
        x_hat_DB = decoder.apply({"params": params["decoder"]}, z_KB, batch["c"])
        return jnp.asarray(x_hat_DB), stats

    def prior(params: Params, batch: Batch) -> Diagonal:
        mean_KB, logvar_KB = prior_net.apply({"params": params["prior"]}, batch["c"])
        return Diagonal(jnp.asarray(mean_KB), jnp.asarray(logvar_KB))

    return Networks(init, encode, decode, prior if settings.prior == "learned" else None)
