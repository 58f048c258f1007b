"""MLPs of a CVAE: a condition c into the encoder, the decoder and, where it is learned, the prior.

c goes through an MLP of its own to kappa features, which stand beside x in the encoder and beside z
in the decoder (CVAE-dims, appendix A). Arrays are feature-major, [width, batch].
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.networks.mlp import Condition, Gaussian, Linear, Networks, activate, sigmoid

Params = Any
PRIOR = "prior"


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

    @nn.compact
    def __call__(self, x_DB: jax.Array, c_CB: jax.Array) -> tuple[jax.Array, jax.Array]:
        f_KB = Features(self.hidden[0], self.kappa, self.activation)(c_CB)
        h_HB = activate(self.activation, Joint((self.hidden[0],))(x_DB, f_KB))
        for width in self.hidden[1:]:
            h_HB = activate(self.activation, Linear((width,))(h_HB))
        heads_2KB = Linear((2, self.kappa), name="heads")(h_HB)
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

    @nn.compact
    def __call__(self, z_KB: jax.Array, c_CB: jax.Array) -> jax.Array:
        if self.attention:
            weights = Features(self.attention_hidden, self.kappa, self.activation, name="attention")
            z_KB = z_KB * sigmoid(weights(c_CB))
        f_KB = Features(self.hidden[0], self.kappa, self.activation)(c_CB)
        h_HB = activate(self.activation, Joint((self.hidden[0],))(z_KB, f_KB))
        for width in self.hidden[1:]:
            h_HB = activate(self.activation, Linear((width,))(h_HB))
        x_hat_DB = Linear((self.d,), name="mean")(h_HB)
        return sigmoid(x_hat_DB) if self.output == "sigmoid" else x_hat_DB


class ConditionalPrior(nn.Module):
    """c_CB -> mean_KB, logvar_KB of p(z | c)."""

    kappa: int
    width: int
    activation: str

    @nn.compact
    def __call__(self, c_CB: jax.Array) -> tuple[jax.Array, jax.Array]:
        f_KB = Features(self.width, self.kappa, self.activation)(c_CB)
        heads_2KB = Linear((2, self.kappa), name="heads")(f_KB)
        return heads_2KB[0], heads_2KB[1]


def conditional_networks(
    kappa: int,
    d: int,
    c: int,
    hidden: tuple[int, ...],
    decoder_hidden: tuple[int, ...],
    activation: str,
    output: str,
    prior: str,
    attention: bool,
    attention_hidden: int,
) -> Networks:
    """Encoder, decoder and prior of a CVAE.

    Args:
        kappa, d, c: widths of z, x and the condition; the padded ones where params are padded.
        hidden: widths of the encoder's hidden layers, at least one; the first is also that of its
            MLP on c, and of the prior's.
        decoder_hidden: of the decoder's, the first also of its MLP on c; () mirrors the encoder's.
        activation: of the hidden layers, one of `rules.ACTIVATIONS`.
        output: of the decoder, one of `rules.OUTPUTS`.
        prior: "learned", or "standard" for N(0, I).
        attention: whether weights from c multiply z.
        attention_hidden: width of the attention's hidden layer; 0 takes the encoder's first.
    """
    decoder_hidden = decoder_hidden or hidden[::-1]
    encoder = ConditionalEncoder(kappa, hidden, activation)
    decoder = ConditionalDecoder(
        d, kappa, decoder_hidden, activation, output, attention, attention_hidden or hidden[0]
    )
    prior_net = ConditionalPrior(kappa, hidden[0], activation)

    def init(key: jax.Array) -> Params:
        key_encoder, key_decoder, key_prior = jax.random.split(key, 3)
        x, z, condition = jnp.zeros((d, 1)), jnp.zeros((kappa, 1)), jnp.zeros((c, 1))
        params = {
            "encoder": encoder.init(key_encoder, x, condition)["params"],
            "decoder": decoder.init(key_decoder, z, condition)["params"],
        }
        if prior == "learned":
            params[PRIOR] = prior_net.init(key_prior, condition)["params"]
        return params

    def prior_of(params: Params, c_CB: Condition) -> Gaussian:
        mean_KB, logvar_KB = prior_net.apply({"params": params}, c_CB)
        return jnp.asarray(mean_KB), jnp.asarray(logvar_KB)

    def encode(params: Params, x_DB: jax.Array, c_CB: Condition) -> Gaussian:
        own = params["encoder"]
        heads = encoder.apply({"params": own}, x_DB, c_CB)
        mean_KB, logvar_KB = jnp.asarray(heads[0]), jnp.asarray(heads[1])
        if PRIOR not in own:
            return mean_KB, logvar_KB
        prior_mean_KB, prior_logvar_KB = prior_of(own[PRIOR], c_CB)
        scale_KB = jnp.exp(-0.5 * prior_logvar_KB)
        return (mean_KB - prior_mean_KB) * scale_KB, logvar_KB - prior_logvar_KB

    def decode(params: Params, z_KB: jax.Array, c_CB: Condition) -> jax.Array:
        own = params["decoder"]
        if PRIOR in own:
            mean_KB, logvar_KB = prior_of(own[PRIOR], c_CB)
            z_KB = mean_KB + jnp.exp(0.5 * logvar_KB) * z_KB
        return jnp.asarray(decoder.apply({"params": own}, z_KB, c_CB))

    def learned_prior(params: Params, c_CB: Condition) -> Gaussian:
        return prior_of(params[PRIOR], c_CB)

    return Networks(init, encode, decode, learned_prior if prior == "learned" else None)


def to_standard_prior(params: Params) -> Params:
    """A CVAE with a learned prior as one with the prior N(0, I): Remark 1 of CVAE-dims.

    z becomes its own deviation from the prior, (z - m(c)) / s(c): the encoder subtracts and divides
    after it has run, the decoder undoes that before it runs. Loss and generated distribution stay
    what they are. The networks' functions take the new params as they took the old ones, apart from
    `prior`, which is N(0, I) now.

    Raises:
        ValueError: where there is no learned prior.
    """
    if PRIOR not in params:
        raise ValueError("params: have no learned prior; their prior is N(0, I) already")
    rest = {name: part for name, part in params.items() if name != PRIOR}
    moved = {name: {**params[name], PRIOR: params[PRIOR]} for name in ("encoder", "decoder")}
    return {**rest, **moved}
