"""Data kind "manifold": a synthetic manifold of dimension r, of which a condition may tell t.

Arrays are feature-major, [width, samples], padded with zero rows. As in `synthetic`, leading parts
do not depend on how far they are padded. The kinds "union" and "varying_t" are made of the same
manifolds.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdvae.data import synthetic
from mdvae.data.base import Batch, DataKind, DataSizes
from mdvae.data.keys import purpose_key
from mdvae.settings.fields import (
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

PRESETS = ("authors", "paper")
CONDITIONS = ("identity", "random")


@dataclasses.dataclass(frozen=True)
class Manifold(Section):
    """Samples of one manifold.

    Attributes:
        d, r: width of x, and dimension of the manifold.
        t: how many of the r coordinates the condition tells: its effective dimension.
        sigma: standard deviation of normal noise added to x, off the manifold.
        condition: "identity", c = u_{1:t}, or "random", a random linear map of it.
        preset: law of the data, "authors" or "paper"; see `synthetic.draw_manifold`.
        n_train, n_eval: training samples, and fresh evaluation samples.
    """

    d: int = required(whole(1))
    r: int = required(whole(1))
    t: int = number(0, whole(0))
    sigma: float = number(0.0, NOT_NEGATIVE)
    condition: str = static("identity", one_of(CONDITIONS))
    preset: str = fixed("authors", one_of(PRESETS))
    n_train: int = fixed(100_000, whole(1))
    n_eval: int = fixed(10_000, whole(1))


class Table(NamedTuple):
    """What a data set depends on."""

    seed: int
    d: int
    r: int
    t: int
    sigma: float


class Law(NamedTuple):
    """What the data sets of one program have in common.

    Attributes:
        condition, preset: as in `Manifold`.
        d, r, c: padded widths of x, u and the condition; c = 0 makes none.
        noisy: whether any set has noise off the manifold.
    """

    condition: str
    preset: str
    d: int
    r: int
    c: int
    noisy: bool


def table_of(settings: Any, seed: int) -> Table:
    """The data set of a cell and a seed."""
    return Table(seed, settings.d, settings.r, settings.t, settings.sigma)


def law_of(settings: Sequence[Any], sizes: Sizes) -> Law:
    """The law of cells that share a program; kinds without a choice of conditions have u itself."""
    return Law(
        condition=getattr(settings[0], "condition", CONDITIONS[0]),
        preset=settings[0].preset,
        d=sizes.d,
        r=sizes.r,
        c=sizes.c,
        noisy=any(each.sigma > 0 for each in settings),
    )


def samples_of(settings: Any) -> tuple[int, int]:
    """Training and evaluation samples."""
    return settings.n_train, settings.n_eval


def data_key(table: Any, purpose: str, place: jax.Array | int = 0) -> jax.Array:
    """The key of a data set for a purpose; the manifolds of a union have places from 1 on.

    Args:
        table: with a seed, d and r.
    """
    base = jax.random.fold_in(
        jax.random.fold_in(purpose_key(table.seed, purpose), table.d), table.r
    )
    return base if isinstance(place, int) and place == 0 else jax.random.fold_in(base, place)


def _draw(table: Table, law: Law, r: jax.Array | int, place: jax.Array | int) -> synthetic.Manifold:
    key = data_key(table, "manifold", place)
    return synthetic.draw_manifold(key, r, table.d, r_max=law.r, d_max=law.d, preset=law.preset)


def make_manifold(
    table: Table, law: Law, n: int, split: str, r: jax.Array | int, place: jax.Array | int
) -> tuple[jax.Array, jax.Array]:
    """x_DN and u_RN of one manifold."""
    manifold = _draw(table, law, r, place)
    x_DN, u_RN = synthetic.sample(data_key(table, split, place), manifold, n)
    if law.noisy:
        noise_key = data_key(table, f"{split}_sigma", place)
        x_DN = synthetic.add_noise(noise_key, x_DN, manifold, table.sigma)
    return x_DN, u_RN


def tangents_of(
    table: Table,
    law: Law,
    x_DN: jax.Array,
    r: jax.Array | int,
    place: jax.Array | int,
    told: jax.Array | int,
) -> jax.Array:
    """`synthetic.tangent_gram` of one manifold, but for the first `told` coordinates."""
    keep_R = rows_below(law.r, r) - rows_below(law.r, told if law.c else 0)
    # Noise off the manifold may leave the range of its map.
    return synthetic.tangent_gram(_draw(table, law, r, place), jnp.clip(x_DN, 0.0, 1.0), keep_R)


def rows_below(width: int, limit: jax.Array | int) -> jax.Array:
    """1 for the true rows of a padded width and 0 for the others, [width]."""
    return (jnp.arange(width, dtype=jnp.uint32) < jnp.asarray(limit, jnp.uint32)).astype(
        jnp.float32
    )


def _make(law: Law, table: Table, n: int, split: str, part: int | None) -> Batch:
    """x [d, n] on the manifold, and c [c, n] where there is a condition."""
    x_DN, u_RN = make_manifold(table, law, n, split, table.r, 0)
    if law.c == 0:
        return {"x": x_DN}
    c_CN = u_RN[: law.c] * rows_below(law.c, table.t)[:, None]
    if law.condition == "random":
        mixing_CC = synthetic.draw_rows(
            data_key(table, "condition"),
            law.c,
            lambda k: synthetic.draw_rows(k, law.c, lambda each: jax.random.normal(each)),
        )
        c_CN = jnp.dot(mixing_CC, c_CN, precision="highest") * rows_below(law.c, table.t)[:, None]
    return {"x": x_DN, "c": c_CN}


def check_fits(settings: Any, named: Named) -> None:
    """Refuses a manifold of more dimensions than its space."""
    if settings.r > settings.d:
        raise ConfigError(
            f"{named('r')}: {settings.r} is more than d = {settings.d}; "
            f"a manifold in {settings.d} dimensions has {settings.d} or fewer"
        )


def check_told(settings: Any, named: Named) -> None:
    """Refuses a condition that tells more than there is."""
    if settings.t > settings.r:
        raise ConfigError(
            f"{named('t')}: {settings.t} is more than r = {settings.r}; a condition can tell r"
            " coordinates or fewer"
        )


def _check(settings: Manifold, named: Named) -> None:
    check_fits(settings, named)
    check_told(settings, named)
    if settings.condition == "random" and settings.t == 0:
        raise ConfigError(
            f"{named('condition')}: 'random' has no effect without a t of 1 or more; it must be"
            " 'identity'"
        )


def _sizes(settings: Manifold, told: bool) -> DataSizes:
    """A condition that tells nothing (t = 0) is a constant 0."""
    return DataSizes(settings.d, max(settings.t, 1) if told else 0, settings.r)


def _parts(settings: Manifold) -> tuple[Part, ...]:
    return (Part(settings.t, settings.r, settings.t, settings.sigma),)


DATA.add(
    "manifold",
    DataKind(
        settings=Manifold,
        sizes=_sizes,
        samples=samples_of,
        table=table_of,
        make=_make,
        law=law_of,
        parts=_parts,
        tangents=lambda law, table, x, _: tangents_of(table, law, x, table.r, 0, table.t),
        check=_check,
    ),
)
