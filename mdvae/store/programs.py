"""Compiled networks of a cell, and arrays checked before they are given to them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import Batch, PyTree
from mdvae.methods.base import networks_of
from mdvae.networks.base import Posterior
from mdvae.settings.grid import Cell
from mdvae.settings.registry import METHODS

# More samples than this go through networks in pieces, by a compiled program.
PIECE = 1_000


@cache
def compiled(cell: Cell) -> tuple[Callable[..., Posterior], Callable[..., jax.Array]]:
    """The encoder and the decoder of a cell: (params, stats, batch) and (..., z_KB, batch)."""
    networks = networks_of(cell)

    def encode(params: PyTree, stats: PyTree, batch: Batch) -> Posterior:
        return networks.encode(params, stats, batch, False)[0]

    def decode(params: PyTree, stats: PyTree, z_KB: jax.Array, batch: Batch) -> jax.Array:
        return networks.decode(params, stats, z_KB, batch, False)[0]

    return jax.jit(encode), jax.jit(decode)


def given_codes(cell: Cell, params: PyTree, z_KB: jax.Array) -> jax.Array:
    """Codes as the decoder of a cell is given them, such as masked ones."""
    return METHODS.find(cell.method.kind).decoded(params, z_KB)


def noise_scale(cell: Cell, params: PyTree) -> jax.Array:
    """The standard deviation of a decoder's own noise, exp(log gamma / 2).

    Raises:
        ValueError: of a method without a gamma.
    """
    if "log_gamma" not in params:
        raise ValueError(
            f"noise: True is not usable; {cell.name} is of method {cell.method.kind!r}, whose"
            " decoder has no variance; it must be False"
        )
    return jnp.exp(0.5 * params["log_gamma"])


def checked(name: str, rows: Any, shape: tuple[int, ...], n: int) -> np.ndarray:
    """Rows as floats, [n, *shape].

    Raises:
        ValueError: for another shape.
    """
    rows = np.asarray(rows, np.float64)
    if rows.shape != (n, *shape):
        right = ", ".join(map(str, ("n" if name in ("x", "z") else n, *shape)))
        raise ValueError(f"{name}: shape {rows.shape} is not usable; it must be ({right})")
    return rows
