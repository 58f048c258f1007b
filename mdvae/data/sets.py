"""The data set of a run: what it depends on, and its samples and conditions.

Arrays are feature-major, [width, samples], padded with zero rows. As in `synthetic`, leading parts
do not depend on how far they are padded.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mdvae.data import synthetic
from mdvae.grid import T_STEP, Cell
from mdvae.keys import purpose_key


class DataKey(NamedTuple):
    """What a data set depends on: runs that agree in it share one."""

    seed: int
    d: int
    r: int
    t: int
    sigma: float


class DataKind(NamedTuple):
    """What the data sets of one program have in common: static.

    Attributes:
        data, condition, preset: as in `config.SweepConfig`.
        d, r, c: padded widths of x, u and the condition; c = 0 makes none.
        noisy: whether any set has noise off the manifold.
    """

    data: str
    condition: str
    preset: str
    d: int
    r: int
    c: int
    noisy: bool


def data_key(cell: Cell, seed: int) -> DataKey:
    """The data set of a cell and a seed."""
    return DataKey(seed, cell.d, cell.r, cell.t, cell.sigma)


def data_kind(cells: Sequence[Cell], preset: str) -> DataKind:
    """The kind of the data sets of cells that share a program."""
    return DataKind(
        data=cells[0].data,
        condition=cells[0].condition,
        preset=preset,
        d=max(cell.d for cell in cells),
        r=max(cell.r for cell in cells),
        c=max(cell.c for cell in cells),
        noisy=any(cell.sigma > 0 for cell in cells),
    )


def _key(key: DataKey, purpose: str, part: jax.Array | int = 0) -> jax.Array:
    """The key of a data set for a purpose; parts of a union have one each."""
    base = jax.random.fold_in(jax.random.fold_in(purpose_key(key.seed, purpose), key.d), key.r)
    return base if isinstance(part, int) and part == 0 else jax.random.fold_in(base, part)


def _manifold(
    key: DataKey, kind: DataKind, n: int, purpose: str, r: jax.Array | int, part: jax.Array | int
) -> tuple[jax.Array, jax.Array]:
    """x_DN and u_RN of one manifold."""
    manifold = synthetic.draw_manifold(
        _key(key, "manifold", part), r, key.d, r_max=kind.r, d_max=kind.d, preset=kind.preset
    )
    x_DN, u_RN = synthetic.sample(_key(key, purpose, part), manifold, n)
    if kind.noisy:
        noise_key = _key(key, f"{purpose}_sigma", part)
        x_DN = synthetic.add_noise(noise_key, x_DN, manifold, key.sigma)
    return x_DN, u_RN


def _rows_below(width: int, limit: jax.Array | int) -> jax.Array:
    return (jnp.arange(width, dtype=jnp.uint32) < jnp.asarray(limit, jnp.uint32)).astype(
        jnp.float32
    )


def _told(u_RN: jax.Array, c: int) -> jax.Array:
    """The first c rows of u."""
    return u_RN[:c] if c <= u_RN.shape[0] else jnp.pad(u_RN, ((0, c - u_RN.shape[0]), (0, 0)))


def make_batch(
    key: DataKey, kind: DataKind, n: int, purpose: str, part: int | None = None
) -> dict[str, jax.Array]:
    """n samples of a data set: {"x": [d, n], "c": [c, n]}; no "c" where there is no condition.

    Samples of different parts alternate, so that a batch has each equally often, to one sample.

    Args:
        purpose: "train" or "eval"; the manifolds are the same, the samples are independent.
        part: takes samples of one part alone (counted from 0); None takes all.
    """
    place_N = jnp.arange(n, dtype=jnp.uint32)
    if kind.data == "union":
        class_N = place_N % key.r if part is None else jnp.full(n, part, jnp.uint32)
        keep = class_N[None, :]

        def add(k: jax.Array, x_DN: jax.Array) -> jax.Array:
            mine_DN, _ = _manifold(key, kind, n, purpose, k + 1, k + 1)
            return jnp.where(keep == k, mine_DN, x_DN)

        x_DN = lax.fori_loop(
            jnp.uint32(0), jnp.uint32(kind.r), add, jnp.zeros((kind.d, n), jnp.float32)
        )
        c_CN = (jnp.arange(kind.c, dtype=jnp.uint32)[:, None] == keep).astype(jnp.float32)
        return {"x": x_DN, "c": c_CN} if kind.c else {"x": x_DN}
    x_DN, u_RN = _manifold(key, kind, n, purpose, key.r, 0)
    if kind.c == 0:
        return {"x": x_DN}
    c_CN = _told(u_RN, kind.c)
    if kind.data == "varying_t":
        groups = jnp.asarray(key.t, jnp.uint32) // T_STEP
        part_N = place_N % groups if part is None else jnp.full(n, part, jnp.uint32)
        t_N = T_STEP * (part_N + 1)
        rows = jnp.arange(kind.c, dtype=jnp.uint32)[:, None]
        return {"x": x_DN, "c": c_CN * (rows < t_N[None, :]).astype(jnp.float32)}
    c_CN = c_CN * _rows_below(kind.c, key.t)[:, None]
    if kind.condition == "random":
        mixing_CC = synthetic.draw_rows(
            _key(key, "condition"),
            kind.c,
            lambda k: synthetic.draw_rows(k, kind.c, lambda each: jax.random.normal(each)),
        )
        c_CN = jnp.dot(mixing_CC, c_CN, precision="highest") * _rows_below(kind.c, key.t)[:, None]
    return {"x": x_DN, "c": c_CN}


def n_parts(cells: Sequence[Cell]) -> int:
    """Parts of the data that has most of them."""
    return max(len(cell.parts) for cell in cells)
