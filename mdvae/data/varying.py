"""Data kind "varying_t": one manifold whose condition tells 2, 4, ..., t of its coordinates.

How many it tells differs from sample to sample; what it does not tell of them is zero (CVAE-dims,
section 4.4, Table 6). Samples of all t alternate, as the classes of a union do.
"""

import dataclasses

import jax
import jax.numpy as jnp

from mdvae.data.base import Batch, DataKind, DataSizes
from mdvae.data.manifolds import (
    PRESETS,
    Law,
    Table,
    check_fits,
    check_told,
    law_of,
    make_manifold,
    samples_of,
    table_of,
    tangents_of,
)
from mdvae.settings.fields import (
    NOT_NEGATIVE,
    ConfigError,
    Section,
    fixed,
    number,
    one_of,
    required,
    whole,
)
from mdvae.settings.grid import Named, Part
from mdvae.settings.registry import DATA

# Between the t of neighbouring parts.
T_STEP = 2


@dataclasses.dataclass(frozen=True)
class VaryingT(Section):
    """Samples of one manifold, told in part; fields as in `manifolds.Manifold`, t the most."""

    d: int = required(whole(1))
    r: int = required(whole(1))
    t: int = required(whole(0))
    sigma: float = number(0.0, NOT_NEGATIVE)
    preset: str = fixed("authors", one_of(PRESETS))
    n_train: int = fixed(100_000, whole(1))
    n_eval: int = fixed(10_000, whole(1))


def _make(law: Law, table: Table, n: int, split: str, part: int | None) -> Batch:
    """x [d, n], and c [c, n] where the networks are told."""
    place_N = jnp.arange(n, dtype=jnp.uint32)
    x_DN, u_RN = make_manifold(table, law, n, split, table.r, 0)
    if law.c == 0:
        return {"x": x_DN}
    c_CN = u_RN[: law.c]
    groups = jnp.asarray(table.t, jnp.uint32) // T_STEP
    part_N = place_N % groups if part is None else jnp.full(n, part, jnp.uint32)
    t_N = T_STEP * (part_N + 1)
    rows = jnp.arange(law.c, dtype=jnp.uint32)[:, None]
    return {"x": x_DN, "c": c_CN * (rows < t_N[None, :]).astype(jnp.float32)}


def _check(settings: VaryingT, named: Named) -> None:
    check_fits(settings, named)
    check_told(settings, named)
    if settings.t < T_STEP or settings.t % T_STEP:
        raise ConfigError(
            f"{named('t')}: {settings.t} is not usable with data.kind 'varying_t'; it must be even,"
            " 2 or more"
        )


def _parts(settings: VaryingT) -> tuple[Part, ...]:
    told = range(T_STEP, settings.t + 1, T_STEP)
    return tuple(Part(t, settings.r, t, settings.sigma) for t in told)


def _tangents(law: Law, table: Table, x_DN: jax.Array, part: int | None) -> jax.Array:
    told = T_STEP * ((part or 0) + 1)
    return tangents_of(table, law, x_DN, table.r, 0, told)


DATA.add(
    "varying_t",
    DataKind(
        settings=VaryingT,
        sizes=lambda settings, told: DataSizes(settings.d, settings.t if told else 0, settings.r),
        samples=samples_of,
        table=table_of,
        make=_make,
        law=law_of,
        parts=_parts,
        part_name="t",
        tangents=_tangents,
        check=_check,
    ),
)
