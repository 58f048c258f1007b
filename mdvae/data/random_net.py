"""Data kind "random_net": x = f(z), f a fixed random network and z ~ N(0, I_r).

The synthetic data of LMGAE (Mondal et al., "Towards Latent Space Optimality for Auto-Encoder Based
Generative Models"), section 5.1. The paper says: z normal and isotropic, of r dimensions (its n),
two fully connected layers of 128 units, leaky ReLU, d outputs, d much more than r, weights "fixed
randomly". It does not say d, the slope, the law of the weights, the scale of z, how many samples
there are, nor whether the outputs are rectified too. Those are choices here:

- Kernels are normal with the variance that keeps the mean square of a layer what its input's is (He
  et al., 2015, eq. 15), 2 / ((1 + slope^2) inputs), or 1 / inputs of a linear layer. The mean
  square of x is then 1 on average over networks without biases, and its variance about 0.65, since
  rectified units have a mean: of order 1, as a linear decoder and an initial gamma of 1 want it.
- Biases are 0, as in networks that are not trained yet. Such a network is homogeneous: f(a z) =
  a f(z) for a > 0. The gain of a kernel and the scale of z are then but one factor of x, so that
  with Glorot's variance, or another of z, the data would be the same in other units. x lies on a
  cone; biases of a standard deviation above 0 take its tip away.

f is linear in pieces, of rank r in almost all of them where no layer has fewer than r units. Arrays
are feature-major, [width, samples], padded with zero rows; as in `synthetic`, leading parts do not
depend on how far they are padded.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdvae.data.base import Batch, DataKind, DataSizes
from mdvae.data.manifolds import check_fits, data_key, rows_below, samples_of
from mdvae.data.synthetic import draw_rows
from mdvae.data.units import Units
from mdvae.settings.fields import (
    BETWEEN,
    MOST_TRACED,
    NOT_NEGATIVE,
    ConfigError,
    Section,
    fixed,
    number,
    one_of,
    required,
    static,
    whole,
)
from mdvae.settings.grid import Named, Part, Sizes
from mdvae.settings.registry import DATA

OUTPUTS = ("linear", "leaky")
# Of entries of x, which a decoder that ends in a sigmoid cannot have.
UNBOUNDED = Units(low=-math.inf, high=math.inf)


@dataclasses.dataclass(frozen=True)
class RandomNet(Section):
    """Samples of a random network.

    Attributes:
        d, r: width of x, and of z: the dimension of the data.
        net_slope: of leaky ReLU below 0.
        net_bias: standard deviation of the normal biases.
        net_width, net_layers: of the hidden layers.
        net_output: whether the d outputs are "linear" or rectified as well, "leaky".
        n_train, n_eval: training samples, and fresh evaluation samples.
    """

    d: int = required(whole(1))
    r: int = required(whole(1))
    net_slope: float = number(0.2, BETWEEN)
    net_bias: float = number(0.0, NOT_NEGATIVE)
    net_width: int = static(128, whole(1))
    net_layers: int = static(2, whole(1, MOST_TRACED))
    net_output: str = static("linear", one_of(OUTPUTS))
    n_train: int = fixed(100_000, whole(1))
    n_eval: int = fixed(10_000, whole(1))


class Table(NamedTuple):
    """What a data set depends on; fields as in `RandomNet`."""

    seed: int
    d: int
    r: int
    net_slope: float
    net_bias: float


class Law(NamedTuple):
    """What the data sets of one program have in common; d and r are padded widths."""

    net_width: int
    net_layers: int
    net_output: str
    d: int
    r: int


class Net(NamedTuple):
    """A network, its sizes padded.

    Attributes:
        kernels: [units, inputs] each, the hidden layers' and then the outputs'.
        biases: [units] each.
    """

    kernels: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]


def draw_net(table: Table, law: Law) -> Net:
    """The network of a data set; no row or column depends on how many there are."""
    key, width = data_key(table, "manifold"), law.net_width
    is_leaky = law.net_output == OUTPUTS[1]
    gain = 2.0 / (1.0 + jnp.asarray(table.net_slope, jnp.float32) ** 2)
    is_z_R, is_x_D = rows_below(law.r, table.r), rows_below(law.d, table.d)
    kernels, biases = [], []
    for layer in range(law.net_layers + 1):
        own, last = jax.random.fold_in(key, layer), layer == law.net_layers
        inputs = width if layer else law.r
        if last:
            rows_UI = draw_rows(own, law.d, lambda k: jax.random.normal(k, (width + 1,)))
            rows_UI = rows_UI * is_x_D[:, None]
        else:
            rows_UI = draw_rows(own, inputs + 1, lambda k: jax.random.normal(k, (width,))).T
        # The bias first, which is there however many inputs are.
        bias_U, kernel_UI = rows_UI[:, 0], rows_UI[:, 1:]
        if layer == 0:
            kernel_UI = kernel_UI * is_z_R[None, :]
        fan_in = jnp.float32(width) if layer else jnp.asarray(table.r, jnp.float32)
        own_gain = jnp.float32(1.0) if last and not is_leaky else gain
        kernels.append(jnp.sqrt(own_gain / fan_in) * kernel_UI)
        biases.append(table.net_bias * bias_U)
    return Net(tuple(kernels), tuple(biases))


def apply_net(net: Net, z_RN: jax.Array, slope: jax.Array | float, output: str) -> jax.Array:
    """x_DN = f(z), zero in padded rows.

    Args:
        z_RN: whatever its padded rows hold.
        slope, output: `net_slope` and `net_output` of the data.
    """
    x = z_RN
    for layer, (kernel_UI, bias_U) in enumerate(zip(net.kernels, net.biases, strict=True)):
        x = jnp.dot(kernel_UI, x, precision="highest") + bias_U[:, None]
        if output == OUTPUTS[1] or layer < len(net.kernels) - 1:
            x = jnp.where(x >= 0, x, slope * x)
    return x


def _make(law: Law, table: Table, n: int, split: str, part: int | None) -> Batch:
    """x [d, n]."""
    z_RN = draw_rows(data_key(table, split), law.r, lambda key: jax.random.normal(key, (n,)))
    return {"x": apply_net(draw_net(table, law), z_RN, table.net_slope, law.net_output)}


def _law(settings: Sequence[Any], sizes: Sizes) -> Law:
    own = settings[0]
    return Law(own.net_width, own.net_layers, own.net_output, sizes.d, sizes.r)


def _table(settings: Any, seed: int) -> Table:
    return Table(seed, settings.d, settings.r, settings.net_slope, settings.net_bias)


def _check(settings: Any, named: Named) -> None:
    """Refuses data of fewer dimensions than z."""
    check_fits(settings, named)
    if settings.r > settings.net_width:
        raise ConfigError(
            f"{named('r')}: {settings.r} is more than net_width = {settings.net_width}; what goes"
            f" through layers of {settings.net_width} units has {settings.net_width} dimensions or"
            " fewer"
        )


DATA.add(
    "random_net",
    DataKind(
        settings=RandomNet,
        sizes=lambda settings, told: DataSizes(settings.d, 0, settings.r),
        samples=samples_of,
        table=_table,
        make=_make,
        law=_law,
        parts=lambda settings: (Part(dimension=settings.r),),
        units=lambda settings: UNBOUNDED,
        check=_check,
    ),
)
