"""Several updates in one step, each of a loss and a part of the params, on samples of its own."""

from typing import Any

import jax
import jax.numpy as jnp

from mdvae.data.base import PyTree
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell, Named


def piece(tree: PyTree, k: Any, n: int, axis: int) -> PyTree:
    """The k-th of n equal pieces of arrays that have samples along an axis; k may be traced."""

    def cut(x: jax.Array) -> jax.Array:
        size = x.shape[axis] // n
        start = jnp.asarray(k, jnp.int32) * size
        return jax.lax.dynamic_slice_in_dim(x, start, size, axis % x.ndim)

    return jax.tree.map(cut, tree)


def check_pieces(cell: Cell, named: Named, n: int) -> None:
    """Refuses a batch that cannot be cut into equal pieces for n updates."""
    if cell.batch_size % n:
        raise ConfigError(
            f"{named('batch_size')}: {cell.batch_size} cannot be cut into equal pieces for the {n}"
            f" updates of a step; it must be a multiple of {n}"
        )


def doubled(first: jax.Array, every: jax.Array, cap: jax.Array, step: jax.Array) -> jax.Array:
    """A weight at a step that doubles after every so many steps, up to a cap."""
    doublings = jnp.minimum(step // every, 64).astype(first.dtype)
    return jnp.minimum(first * jnp.exp2(doublings), cap)
