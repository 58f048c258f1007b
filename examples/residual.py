"""Networks kind "residual": MLPs whose layers add to what they are fed; and a config that uses it.

    python -m mdvae.sweep --config examples/residual.py

Expected: AD = r in both cells, as of the networks "mlp" (configs/quickstart.py). Two minutes on a
busy 2-core CPU.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mdvae.data.base import Batch
from mdvae.networks.base import Diagonal, Networks, NetworksKind, Params, Posterior, Stats
from mdvae.networks.layers import Linear, sigmoid
from mdvae.networks.mlp import whitened
from mdvae.settings.config import default_config
from mdvae.settings.fields import ConfigError, Section, required, static, whole
from mdvae.settings.grid import Cell, Named, Sizes
from mdvae.settings.registry import NETWORKS


@dataclasses.dataclass(frozen=True)
class Residual(Section):
    """Encoder and decoder of residual blocks.

    Attributes:
        kappa: width of the latent z.
        width: of all hidden layers.
        blocks: how many, in the encoder and in the decoder.
    """

    kappa: int = required(whole(1))
    width: int = static(32, whole(1))
    blocks: int = static(2, whole(0))


class Trunk(nn.Module):
    """[inputs, batch] -> [width, batch]."""

    width: int
    blocks: int

    @nn.compact
    def __call__(self, x_IB: jax.Array) -> jax.Array:
        h_WB = Linear((self.width,))(x_IB)
        for _ in range(self.blocks):
            h_WB = h_WB + Linear((self.width,))(jax.nn.relu(h_WB))
        return jax.nn.relu(h_WB)


class Encoder(nn.Module):
    """x_DB -> mean_KB and logvar_KB of q(z | x)."""

    kappa: int
    width: int
    blocks: int

    @nn.compact
    def __call__(self, x_DB: jax.Array) -> tuple[jax.Array, jax.Array]:
        h_WB = Trunk(self.width, self.blocks)(x_DB)
        # Padding is the end of an axis: two heads of one layer need an axis of their own.
        heads_2KB = Linear((2, self.kappa))(h_WB)
        return heads_2KB[0], heads_2KB[1]


class Decoder(nn.Module):
    """z_KB -> x_hat_DB, the mean of p(x | z)."""

    d: int
    width: int
    blocks: int

    @nn.compact
    def __call__(self, z_KB: jax.Array) -> jax.Array:
        return sigmoid(Linear((self.d,))(Trunk(self.width, self.blocks)(z_KB)))


def make(settings: Residual, sizes: Sizes) -> Networks:
    """The networks at some sizes: a cell's own, or the largest of its program."""
    kappa, d = sizes.kappa, sizes.d
    encoder = Encoder(kappa, settings.width, settings.blocks)
    decoder = Decoder(d, settings.width, settings.blocks)

    def init(key: jax.Array) -> tuple[Params, Stats]:
        key_encoder, key_decoder = jax.random.split(key)
        params = {
            "encoder": encoder.init(key_encoder, jnp.zeros((d, 1)))["params"],
            "decoder": decoder.init(key_decoder, jnp.zeros((kappa, 1)))["params"],
        }
        return params, {}

    def encode(params: Params, stats: Stats, batch: Batch, train: bool) -> tuple[Posterior, Stats]:
        mean_KB, logvar_KB = encoder.apply({"params": params["encoder"]}, batch["x"])
        return Diagonal(jnp.asarray(mean_KB), jnp.asarray(logvar_KB)), stats

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, train: bool
    ) -> tuple[jax.Array, Stats]:
        x_hat_DB = decoder.apply({"params": params["decoder"]}, z_KB)
        return jnp.asarray(x_hat_DB), stats

    # The encoder is fed training data of zero mean and unit covariance; see data/whitening.py.
    return whitened(Networks(init, encode, decode), d)


def check(cell: Cell, named: Named) -> None:
    """Refuses a condition, of which these networks would see nothing."""
    settings: Any = cell.networks
    if cell.sizes.c:
        raise ConfigError(
            f"networks.kind: {settings.kind!r} is not usable with a condition; it must be"
            " 'mlp', or method.model 'vae'"
        )


NETWORKS.add("residual", NetworksKind(settings=Residual, make=make, check=check))


def get_config() -> ConfigDict:
    """Manifolds of Table 1 of CVAE-dims: d = 20 with r = 2 and 4, two seeds."""
    config = default_config(networks="examples.residual:residual")
    config.name = "residual"
    config.grid = ConfigDict({"kappa": (10,), "d": (20,), "r": (2, 4)})
    config.update({"seeds": 2, "steps": 5_000, "batch_size": 500})
    return config
