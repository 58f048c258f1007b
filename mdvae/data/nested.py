"""Data kind "nested": a manifold of r dimensions, in which most samples lie on one of fewer.

Of a share of the samples all r coordinates differ from 0, of the others the first `inner` alone. A
latent for one of the rest is in use for that share and not for others: a mixed one, in the words of
the polarised regime. The condition is one-hot: which of the two a sample is.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdvae.data import synthetic
from mdvae.data.base import Batch, DataKind, DataSizes
from mdvae.data.manifolds import PRESETS, check_fits, data_key, rows_below, samples_of
from mdvae.settings.fields import (
    BETWEEN,
    ConfigError,
    Section,
    fixed,
    number,
    one_of,
    required,
    whole,
)
from mdvae.settings.grid import Named, Part, Sizes
from mdvae.settings.registry import DATA

# Places of the two.
INNER, WHOLE = 0, 1


@dataclasses.dataclass(frozen=True)
class Nested(Section):
    """Samples of a manifold and of one within it; fields as in `manifolds.Manifold`.

    Attributes:
        inner: dimensions of the inner manifold.
        share: of the samples that all r coordinates tell apart.
        n_train, n_eval: of both together, and of each.
    """

    d: int = required(whole(1))
    r: int = required(whole(1))
    inner: int = number(1, whole(1))
    share: float = number(0.2, BETWEEN)
    preset: str = fixed("authors", one_of(PRESETS))
    n_train: int = fixed(100_000, whole(1))
    n_eval: int = fixed(10_000, whole(1))


class Table(NamedTuple):
    """What a data set depends on."""

    seed: int
    d: int
    r: int
    inner: int
    share: float


class Law(NamedTuple):
    """What the data sets of one program share: padded widths, and the preset."""

    d: int
    r: int
    c: int
    preset: str


def _law(settings: Sequence[Any], sizes: Sizes) -> Law:
    return Law(sizes.d, sizes.r, sizes.c, settings[0].preset)


def _table(settings: Any, seed: int) -> Table:
    return Table(seed, settings.d, settings.r, settings.inner, settings.share)


def _make(law: Law, table: Table, n: int, split: str, part: int | None) -> Batch:
    """x [d, n], and c [2, n], one-hot, where the networks are told."""
    key = data_key(table, "manifold")
    sizes = {"r_max": law.r, "d_max": law.d, "preset": law.preset}
    manifold = synthetic.draw_manifold(key, table.r, table.d, **sizes)
    if part is None:
        drawn_N = jax.random.uniform(data_key(table, f"{split}_member"), (n,))
        whole_N = (drawn_N < table.share).astype(jnp.float32)
    else:
        whole_N = jnp.full(n, part, jnp.float32)
    # What is 0 for the others.
    rest_R = rows_below(law.r, table.r) - rows_below(law.r, table.inner)
    keep_RN = 1.0 - rest_R[:, None] * (1.0 - whole_N[None, :])
    x_DN, _ = synthetic.sample(data_key(table, split), manifold, n, keep_RN)
    return {"x": x_DN, "c": jnp.stack([1.0 - whole_N, whole_N])} if law.c else {"x": x_DN}


def _check(settings: Any, named: Named) -> None:
    """Refuses an inner manifold that is none, and manifolds that do not fit."""
    check_fits(settings, named)
    if settings.inner >= settings.r:
        raise ConfigError(
            f"{named('inner')}: {settings.inner} is not usable with r = {settings.r}; an inner"
            " manifold must have fewer dimensions"
        )


def _parts(settings: Any) -> tuple[Part, ...]:
    of_whole = settings.share
    return (
        Part(INNER, settings.inner, share=1.0 - of_whole),
        Part(WHOLE, settings.r, share=of_whole),
    )


DATA.add(
    "nested",
    DataKind(
        settings=Nested,
        sizes=lambda settings, told: DataSizes(settings.d, 2 if told else 0, settings.r),
        samples=samples_of,
        table=_table,
        make=_make,
        law=_law,
        parts=_parts,
        part_name="member",
        check=_check,
    ),
)
