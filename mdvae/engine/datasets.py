"""Data sets as arrays on devices: those made on the host, and stats that are fitted to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mdvae.data.base import PyTree
from mdvae.engine.chunks import kind_of
from mdvae.engine.ensemble import Placement
from mdvae.settings.grid import Group


def data_tables(placement: Placement) -> list[Any]:
    """What data each slot needs."""
    kind = kind_of(Group((placement.slots[0].cell,), placement.slots[0].cell.sizes))
    return [kind.table(run.cell.data, run.seed) for run in placement.slots]


def stack_made(
    group: Group, law: Any, tables: Sequence[Any], n: int, split: str, place: int | None
) -> dict[str, np.ndarray]:
    """Data sets of a kind that makes them on the host, stacked and padded to a group's sizes.

    Each table is made once, however often it stands.
    """
    kind = kind_of(group)
    shapes, axis = kind.shapes(group.sizes), kind.sample_axis
    made = {table: kind.make(law, table, n, split, place) for table in dict.fromkeys(tables)}

    def padded(name: str, x: np.ndarray) -> np.ndarray:
        wanted = list(shapes[name])
        wanted.insert(axis % x.ndim, x.shape[axis])
        return np.pad(x, [(0, m - k) for k, m in zip(x.shape, wanted, strict=True)])

    return {
        name: np.stack([padded(name, np.asarray(made[table][name])) for table in tables])
        for name in shapes
    }


def fit_stats(
    fit: Callable[[Mapping[str, np.ndarray]], PyTree],
    data: dict[str, jax.Array],
    n_train: int,
    sample_axis: int,
) -> PyTree:
    """The stats that networks fit to each data set, rows on the device that holds it.

    Args:
        fit: see `networks.base.Networks`.
        data: {"x": [data sets, ...], ...}, of which the first n_train samples count.
    """
    fits: dict[int, PyTree] = {}
    for shard in data["x"].addressable_shards:
        first = shard.index[0].start or 0
        rows = {name: _rows_from(x, first) for name, x in data.items()}
        for i in range(shard.data.shape[0]):
            samples = {
                name: np.take(x[i], range(n_train), axis=sample_axis) for name, x in rows.items()
            }
            fits[first + i] = fit(samples)
    total = data["x"].shape[0]

    def place(*leaves: np.ndarray) -> jax.Array:
        by_row = dict(zip(fits, leaves, strict=True))

        def rows(index: Any) -> np.ndarray:
            return np.stack([by_row[i] for i in range(total)[index[0]]])

        shape = (total, *leaves[0].shape)
        return jax.make_array_from_callback(shape, data["x"].sharding, rows)

    return jax.tree.map(place, *fits.values())


def _rows_from(x: jax.Array, first: int) -> np.ndarray:
    """The rows of an array that one device holds, from row `first` on."""
    shard = next(s for s in x.addressable_shards if (s.index[0].start or 0) == first)
    return np.asarray(shard.data)
