"""Data kind "union": manifolds of dimensions 1 to r in one space, their number the condition.

Each has a mixture and a projection of its own (CVAE-dims, section 4.4, Table 5). Samples of all
classes alternate, so that a batch has each equally often, to one sample.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from mdvae.data.base import Batch, DataKind, DataSizes
from mdvae.data.manifolds import (
    PRESETS,
    Law,
    Table,
    check_fits,
    law_of,
    make_manifold,
    samples_of,
    tangents_of,
)
from mdvae.settings.fields import NOT_NEGATIVE, Section, fixed, number, one_of, required, whole
from mdvae.settings.grid import Part
from mdvae.settings.registry import DATA


@dataclasses.dataclass(frozen=True)
class Union(Section):
    """Samples of r manifolds of dimensions 1 to r; fields as in `manifolds.Manifold`.

    n_train is of all manifolds together, n_eval of each.
    """

    d: int = required(whole(1))
    r: int = required(whole(1))
    sigma: float = number(0.0, NOT_NEGATIVE)
    preset: str = fixed("authors", one_of(PRESETS))
    n_train: int = fixed(100_000, whole(1))
    n_eval: int = fixed(10_000, whole(1))


def _make(law: Law, table: Table, n: int, split: str, part: int | None) -> Batch:
    """x [d, n], and c [c, n], one-hot, where the networks are told."""
    place_N = jnp.arange(n, dtype=jnp.uint32)
    class_N = place_N % table.r if part is None else jnp.full(n, part, jnp.uint32)
    keep = class_N[None, :]

    def add(k: jax.Array, x_DN: jax.Array) -> jax.Array:
        mine_DN, _ = make_manifold(table, law, n, split, k + 1, k + 1)
        return jnp.where(keep == k, mine_DN, x_DN)

    x_DN = lax.fori_loop(jnp.uint32(0), jnp.uint32(law.r), add, jnp.zeros((law.d, n), jnp.float32))
    c_CN = (jnp.arange(law.c, dtype=jnp.uint32)[:, None] == keep).astype(jnp.float32)
    return {"x": x_DN, "c": c_CN} if law.c else {"x": x_DN}


def _tangents(law: Law, table: Table, x_DN: jax.Array, part: int | None) -> jax.Array:
    """Of one class; the condition tells the class and none of its coordinates."""
    place = jnp.uint32((part or 0) + 1)
    return tangents_of(table, law, x_DN, place, place, 0)


DATA.add(
    "union",
    DataKind(
        settings=Union,
        sizes=lambda settings, told: DataSizes(settings.d, settings.r if told else 0, settings.r),
        samples=samples_of,
        table=lambda settings, seed: Table(seed, settings.d, settings.r, 0, settings.sigma),
        make=_make,
        law=law_of,
        parts=lambda settings: tuple(
            Part(k, k, 0, settings.sigma) for k in range(1, settings.r + 1)
        ),
        part_name="class",
        tangents=_tangents,
        check=check_fits,
    ),
)
