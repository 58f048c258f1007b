"""The data set of a run: what it depends on, and its samples."""

from typing import NamedTuple

import jax

from mdvae.data import synthetic
from mdvae.grid import Cell
from mdvae.keys import purpose_key


class DataKey(NamedTuple):
    """What a data set depends on: runs that agree in it share one."""

    seed: int
    d: int
    r: int
    sigma: float


def data_key(cell: Cell, seed: int) -> DataKey:
    """The data set of a cell and a seed."""
    return DataKey(seed, cell.d, cell.r, cell.sigma)


def _key(seed: jax.Array | int, d: jax.Array | int, r: jax.Array | int, purpose: str) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(purpose_key(seed, purpose), d), r)


def make_samples(
    seed: jax.Array | int,
    d: jax.Array | int,
    r: jax.Array | int,
    *,
    n: int,
    purpose: str,
    preset: str,
    d_max: int,
    r_max: int,
    sigma: jax.Array | float | None = None,
) -> jax.Array:
    """Samples of the manifold that belongs to (seed, d, r), [d_max, n].

    Args:
        sigma: standard deviation of normal noise added to x; None draws none.
        purpose: "train" or "eval"; the manifold is the same, the samples are independent.
    """
    manifold = synthetic.draw_manifold(
        _key(seed, d, r, "manifold"), r, d, r_max=r_max, d_max=d_max, preset=preset
    )
    x_DN, _ = synthetic.sample(_key(seed, d, r, purpose), manifold, n)
    if sigma is None:
        return x_DN
    return synthetic.add_noise(_key(seed, d, r, f"{purpose}_sigma"), x_DN, manifold, sigma)
