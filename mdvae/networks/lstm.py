"""Networks kind "lstm": recurrent encoder, prior and decoder of a sequential CVAE.

CVAE-dims, Sections 3.3 and 4.6. Point l of a sequence has a latent z_l: the encoder reads the
points up to x_l, the prior and the decoder those before it. Flax's cells are samples-first; all
else is feature-major, z with points and samples in one axis, points first: [kappa, points *
samples].
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdvae.data.base import Batch
from mdvae.networks.base import Diagonal, Networks, NetworksKind, Params, Posterior, Stats
from mdvae.networks.conditional import Joint
from mdvae.networks.layers import FUNCTIONS, OUTPUTS, Linear, activate, output_of
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

STANDARD, LEARNED, SHARED = "standard", "learned", "shared"
ONCE, TWICE = "once", "twice"
# Steps of a recurrence that are compiled together: twice as fast as one by one on a CPU.
UNROLL = 8


@dataclasses.dataclass(frozen=True)
class LSTM(Section):
    """Stacks of LSTM cells (Hochreiter and Schmidhuber, 1997) with linear heads.

    Attributes:
        kappa: width of the latent z of each point.
        prior: "learned", a network of its own; "shared", the encoder itself, run on the points
            before (CVAE-dims, Theorem 3); or "standard", N(0, I).
        skip: whether the heads of encoder and prior are given the last point beside the recurrent
            state, which is bounded: a linear code of the point is then at hand.
        hidden: widths of the recurrent layers of the encoder, the prior and the decoder each.
        shared_updates: how often a step updates a shared encoder with its gradient: "once", or
            "twice" as the published code does, whose optimiser has it in its list twice.
        decoder_hidden: hidden layers of the decoder behind z and its recurrent layers; () for a
            decoder that is linear in z.
        activation, output: of these, and of the decoder.
    """

    kappa: int = required(whole(1))
    prior: str = static(LEARNED, one_of((LEARNED, SHARED, STANDARD)))
    shared_updates: str = static(ONCE, one_of((ONCE, TWICE)))
    skip: bool = static(False, TRUTH)
    hidden: tuple[int, ...] = static(
        (32,), widths("a tuple of layer widths of 1 or more, such as (32,)")
    )
    decoder_hidden: tuple[int, ...] = static(
        (), widths("a tuple of layer widths of 1 or more, or () for a linear decoder")
    )
    activation: str = static("relu", one_of(tuple(FUNCTIONS)))
    output: str = static("linear", one_of(OUTPUTS))


def _uniform(bound: float, key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
    """Initial weights and biases of a cell, as PyTorch draws them (it has a second bias)."""
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class Recurrent(nn.Module):
    """x_TDB -> states after none (0), the first, ... and all of the points, [T + 1, width, B]."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x_TDB: jax.Array) -> jax.Array:
        length, _, batch = x_TDB.shape
        before_BH = jnp.zeros((batch, self.hidden[-1]), x_TDB.dtype)
        if length == 0:
            return before_BH.T[None]
        h_TBH: Any = jnp.moveaxis(x_TDB, 1, 2)
        for width in self.hidden:
            init = partial(_uniform, width**-0.5)
            cell = nn.OptimizedLSTMCell(
                width, kernel_init=init, recurrent_kernel_init=init, bias_init=init
            )
            zeros = jnp.zeros((batch, width), x_TDB.dtype)
            layer = nn.RNN(cell, time_major=True, unroll=min(length, UNROLL))
            h_TBH = layer(h_TBH, initial_carry=(zeros, zeros))
        return jnp.moveaxis(jnp.concatenate([before_BH[None], h_TBH]), 1, 2)


def _columns(h_PHB: jax.Array) -> jax.Array:
    """[points, width, B] as [width, points * B]."""
    return jnp.moveaxis(h_PHB, 0, 1).reshape(h_PHB.shape[1], -1)


class RecurrentGaussian(nn.Module):
    """x_TDB -> mean and logvar of z after each of the last points, [kappa, points * B]."""

    kappa: int
    points: int
    hidden: tuple[int, ...]
    skip: bool

    @nn.compact
    def __call__(self, x_TDB: jax.Array) -> Diagonal:
        h_HB = _columns(Recurrent(self.hidden)(x_TDB)[-self.points :])
        if self.skip:
            # Before the first point there is none: 0, as the state is.
            none_1DB = jnp.zeros((1, *x_TDB.shape[1:]), x_TDB.dtype)
            x_DB = _columns(jnp.concatenate([none_1DB, x_TDB])[-self.points :])
            heads_2KB = Joint((2, self.kappa), name="heads")(x_DB, h_HB)
        else:
            heads_2KB = Linear((2, self.kappa), name="heads")(h_HB)
        return Diagonal(heads_2KB[0], heads_2KB[1])


class RecurrentDecoder(nn.Module):
    """z [kappa, points * B], the points before x_TDB -> x_hat [points, d, B]."""

    d: int
    points: int
    hidden: tuple[int, ...]
    decoder_hidden: tuple[int, ...]
    activation: str
    output: str

    @nn.compact
    def __call__(self, z_KB: jax.Array, x_TDB: jax.Array) -> jax.Array:
        h_HB = _columns(Recurrent(self.hidden)(x_TDB)[-self.points :])
        first, *rest = *self.decoder_hidden, self.d
        y_FB = Joint((first,), name="joint")(z_KB, h_HB)
        for width in rest:
            y_FB = Linear((width,))(activate(self.activation, y_FB))
        return jnp.moveaxis(output_of(self.output, y_FB).reshape(self.d, self.points, -1), 0, 1)


def lstm_networks(settings: Any, sizes: Sizes) -> Networks:
    """Encoder, decoder and prior on samples of a sequence.

    Args:
        settings: of kind "lstm" (`LSTM`).
        sizes: the padded ones where params are padded. Params do not depend on how many points
            there are, so that the networks of other numbers of them are the same.
    """
    points = sizes.points
    gaussian = RecurrentGaussian(sizes.kappa, points, settings.hidden, settings.skip)
    decoder = RecurrentDecoder(
        sizes.d,
        points,
        settings.hidden,
        settings.decoder_hidden,
        settings.activation,
        settings.output,
    )

    def all_points(batch: Batch) -> jax.Array:
        return jnp.concatenate([batch["c"], batch["x"]]) if sizes.past else batch["x"]

    def before(batch: Batch) -> jax.Array:
        """All points but the last; where one is predicted, that of the batch is not looked at."""
        known = [batch["c"]] if sizes.past else []
        if points > 1:
            known.append(batch["x"][:-1])
        return jnp.concatenate(known) if known else batch["x"][:0]

    def init(key: jax.Array) -> tuple[Params, Stats]:
        key_encoder, key_decoder, key_prior = jax.random.split(key, 3)
        x_TDB = jnp.zeros((max(sizes.past, 1), sizes.d, 1))
        z_KB = jnp.zeros((sizes.kappa, 1))
        one = decoder.clone(points=1)
        params = {
            "encoder": gaussian.init(key_encoder, x_TDB)["params"],
            "decoder": one.init(key_decoder, z_KB, x_TDB)["params"],
        }
        if settings.prior == LEARNED:
            params["prior"] = gaussian.init(key_prior, x_TDB)["params"]
        return params, {}

    def of_points(params: Params, x_TDB: jax.Array) -> Diagonal:
        found: Any = gaussian.apply({"params": params}, x_TDB)
        return found

    def encode(params: Params, stats: Stats, batch: Batch, _: bool) -> tuple[Posterior, Stats]:
        return of_points(params["encoder"], all_points(batch)), stats

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, _: bool
    ) -> tuple[jax.Array, Stats]:
        x_hat = decoder.apply({"params": params["decoder"]}, z_KB, before(batch))
        return jnp.asarray(x_hat), stats

    def prior(params: Params, batch: Batch) -> Diagonal:
        return of_points(params["encoder" if settings.prior == SHARED else "prior"], before(batch))

    is_twice = settings.prior == SHARED and settings.shared_updates == TWICE
    return Networks(
        init,
        encode,
        decode,
        prior=None if settings.prior == STANDARD else prior,
        twice=("encoder",) if is_twice else (),
    )


def _check(cell: Cell, named: Named) -> None:
    """Refuses data that are no sequences, and settings that the networks have no use for."""
    settings: Any = cell.networks
    if not cell.sizes.points:
        raise ConfigError(
            f"networks.kind: {settings.kind!r} has no use for data.kind {cell.data.kind!r}; it"
            " needs sequences"
        )
    if not settings.hidden:
        raise ConfigError(f"{named('hidden')}: () is not usable; give a layer, as (32,)")
    past = getattr(cell.data, "past", 0)
    if past and not cell.sizes.past:
        raise ConfigError(
            f"{named('past')}: {past} has no effect on a VAE, which is given no points; it must be"
            " 0, or method.model 'cvae'"
        )
    if cell.sizes.past + cell.sizes.points == 1 and settings.prior != STANDARD:
        raise ConfigError(
            f"{named('prior')}: {settings.prior!r} has no effect where nothing is given before the"
            f" one point; it must be {STANDARD!r}, or method.model 'cvae'"
        )


NETWORKS.add("lstm", NetworksKind(settings=LSTM, make=lstm_networks, check=_check))
