"""What networks are: encoder, decoder and prior as pure functions; posteriors; Remark 1.

z is feature-major everywhere, [kappa, batch]; x keeps the layout of its kind of data.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import Batch, PyTree
from mdvae.settings.grid import Cell, Named, Sizes
from mdvae.settings.registry import DATA, NETWORKS

Params = Any
# What is not trained by gradients: running statistics, or a map that is fitted to the data.
Stats = dict[str, Any]


class Diagonal(NamedTuple):
    """Gaussians of independent latents: mean_KB and logvar_KB."""

    mean: jax.Array
    logvar: jax.Array


class Full(NamedTuple):
    """Gaussians of any covariance L L^T: mean_KB and the lower triangular factor_KKB.

    In a padded latent the factor is that of the identity.
    """

    mean: jax.Array
    factor: jax.Array


class Point(NamedTuple):
    """Codes without a spread, mean_KB: of an encoder that is a function."""

    mean: jax.Array

    @property
    def logvar(self) -> jax.Array:
        """That of variance 0: -inf."""
        return jnp.full_like(self.mean, -jnp.inf)


Posterior = Diagonal | Full | Point


class Networks(NamedTuple):
    """Pure functions of params, which are trained, and of stats, which are not.

    Attributes:
        init: key -> params, stats at the true shapes.
        encode: (params, stats, batch, train) -> `Posterior` of z, new stats.
        decode: (params, stats, z_KB, batch, train) -> x_hat, new stats.
        prior: (params, batch) -> `Diagonal`, p(z | c); None for N(0, I).
        twice: names of params that an optimiser is given twice a step; see `optimiser.repeated`.
        fit: training samples of one data set, as NumPy arrays without padding of samples -> the
            stats that are fitted to them; None where there are none.
    """

    init: Callable[[jax.Array], tuple[Params, Stats]]
    encode: Callable[[Params, Stats, Batch, bool], tuple[Posterior, Stats]]
    decode: Callable[[Params, Stats, jax.Array, Batch, bool], tuple[jax.Array, Stats]]
    prior: Callable[[Params, Batch], Diagonal] | None = None
    twice: tuple[str, ...] = ()
    fit: Callable[[Mapping[str, np.ndarray]], Stats] | None = None


def _no_check(cell: Cell, named: Named) -> None:
    """Settings that go together however they are chosen."""


def _everywhere(settings: Any) -> tuple[float, float]:
    """Decoders that can have any value."""
    return -math.inf, math.inf


class NetworksKind(NamedTuple):
    """A kind of networks.

    Attributes:
        settings: the class of its section; it has a field kappa, the width of z.
        make: (settings, sizes) -> `Networks` at these sizes; c = 0 where there is no condition.
        check: (cell, named) raises a ConfigError for settings that do not go together.
        reach: settings -> the least and the largest value that a decoder can have.
        loop: whether runs are better looped than vmapped on accelerators too.
        tells: settings -> whether a decoder looks at the condition that it is given, if any.
        carries: settings -> whether the prior's mean says the condition to a decoder that does not.
        together: settings -> whether what networks make of a sample depends on others evaluated
            with it.
    """

    settings: type
    make: Callable[[Any, Sizes], Networks]
    check: Callable[[Cell, Named], None] = _no_check
    reach: Callable[[Any], tuple[float, float]] = _everywhere
    loop: bool = False
    tells: Callable[[Any], bool] = lambda settings: True
    carries: Callable[[Any], bool] = lambda settings: False
    together: Callable[[Any], bool] = lambda settings: False


def depends_on_others(cell: Cell) -> bool:
    """Whether what a cell's networks make of a sample depends on others evaluated with it."""
    return NETWORKS.find(cell.networks.kind).together(cell.networks)


def out_of_reach(cell: Cell) -> str:
    """In one line how far the data of a cell lie beyond what its decoder can have; else ""."""
    units = DATA.find(cell.data.kind).units(cell.data)
    low, high = NETWORKS.find(cell.networks.kind).reach(cell.networks)
    if units.low is None or units.high is None or (low <= units.low and units.high <= high):
        return ""
    return (
        f"the decoder's output is between {low:g} and {high:g}, and the data that it is to fit are"
        f" between {units.low:.3g} and {units.high:.3g}; set networks.output to 'linear'"
    )


def in_unit_interval(cell: Cell) -> bool:
    """Whether a cell's decoder, and its data as far as that is known, are between 0 and 1."""
    units = DATA.find(cell.data.kind).units(cell.data)
    reach = NETWORKS.find(cell.networks.kind).reach(cell.networks)
    known = [value for value in (units.low, units.high) if value is not None]
    return all(0.0 <= value <= 1.0 for value in (*reach, *known))


def with_standard_prior(networks: Networks) -> Networks:
    """The same model without its learned prior, by Remark 1 of CVAE-dims: of the same params.

    z becomes its own deviation from the prior, (z - m(c)) / s(c): the encoder subtracts and divides
    after it has run, the decoder undoes that before it runs. Loss and generated distribution stay
    what they are.

    Raises:
        ValueError: where there is no learned prior.
    """
    learned = networks.prior
    if learned is None:
        raise ValueError("networks: have no learned prior; their prior is N(0, I) already")

    def encode(params: Params, stats: Stats, batch: Batch, train: bool) -> tuple[Posterior, Stats]:
        posterior, stats = networks.encode(params, stats, batch, train)
        prior = learned(params, batch)
        scale_KB = jnp.exp(-0.5 * prior.logvar)
        mean_KB = (posterior.mean - prior.mean) * scale_KB
        if isinstance(posterior, Full):
            return Full(mean_KB, posterior.factor * scale_KB[:, None, :]), stats
        return Diagonal(mean_KB, posterior.logvar - prior.logvar), stats

    def decode(
        params: Params, stats: Stats, z_KB: jax.Array, batch: Batch, train: bool
    ) -> tuple[jax.Array, Stats]:
        prior = learned(params, batch)
        z_KB = prior.mean + jnp.exp(0.5 * prior.logvar) * z_KB
        return networks.decode(params, stats, z_KB, batch, train)

    return networks._replace(encode=encode, decode=decode, prior=None)


def of_points(networks: Networks) -> Networks:
    """The same networks with an encoder that is a function: the mean of what theirs gives."""

    def encode(params: Params, stats: Stats, batch: Batch, train: bool) -> tuple[Posterior, Stats]:
        posterior, stats = networks.encode(params, stats, batch, train)
        return Point(posterior.mean), stats

    return networks._replace(encode=encode)


def shapes_of(networks: Networks) -> PyTree:
    """Shapes and dtypes of params and stats."""
    return jax.eval_shape(networks.init, jax.random.key(0))
