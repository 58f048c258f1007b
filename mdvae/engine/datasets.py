"""Data sets as arrays on devices: those made on the host, and stats that are fitted to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mdvae.data.base import Batch, PyTree
from mdvae.data.keys import purpose_key
from mdvae.data.units import OWN, to_networks
from mdvae.engine.chunks import kind_of
from mdvae.engine.ensemble import Placement
from mdvae.methods.base import units_of
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell, Group
from mdvae.settings.registry import DATA


def data_tables(placement: Placement) -> list[Any]:
    """What data each slot needs."""
    kind = kind_of(Group((placement.slots[0].cell,), placement.slots[0].cell.sizes))
    return [kind.table(run.cell.data, run.seed) for run in placement.slots]


def _made(
    cell: Cell, law: Any, table: Any, n: int, split: str, place: int | None
) -> dict[str, np.ndarray]:
    """A data set of a cell, made on the host, as the networks see it."""
    kind = DATA.find(cell.data.kind)
    # A cell of fewer parts than others of its group repeats its last one, which nobody reads.
    own = None if place is None else min(place, len(cell.parts) - 1)
    found = {name: np.asarray(x) for name, x in kind.make(law, table, n, split, own).items()}
    axis, units = kind.sample_axis, units_of(cell)
    if units is not OWN:
        for name in found.keys() & set(kind.in_units):
            rows = np.moveaxis(found[name], axis, 0)
            found[name] = np.moveaxis(to_networks(units, rows), 0, axis)
    count = found["x"].shape[axis]
    if split == "train" and count != n:
        raise ConfigError(
            f"data.kind: {cell.data.kind!r} made {count} training samples and states {n};"
            " correct one of the two"
        )
    return found


def stack_made(
    group: Group,
    placement: Placement,
    law: Any,
    tables: Sequence[Any],
    n: int,
    split: str,
    place: int | None,
) -> dict[str, np.ndarray]:
    """Data sets of a kind that makes them on the host, stacked and padded to a group's sizes.

    Each table is made once, however often it stands.

    Args:
        placement: of the runs that the tables are of.
        place: of a part of the data, or None for all of them mixed.

    Raises:
        ConfigError: where a kind makes other than the training samples that it states.
    """
    kind = kind_of(group)
    shapes, axis = kind.shapes(group.sizes), kind.sample_axis
    cells = {kind.table(run.cell.data, run.seed): run.cell for run in placement.slots}
    made = {
        table: _made(cells[table], law, table, n, split, place) for table in dict.fromkeys(tables)
    }

    def padded(name: str, x: np.ndarray) -> np.ndarray:
        wanted = list(shapes[name])
        wanted.insert(axis % x.ndim, x.shape[axis])
        return np.pad(x, [(0, m - k) for k, m in zip(x.shape, wanted, strict=True)])

    return {
        name: np.stack([padded(name, made[table][name]) for table in tables]) for name in shapes
    }


def fit_stats(
    fit: Callable[[Mapping[str, np.ndarray]], PyTree],
    data: dict[str, jax.Array],
    n_train: int,
    group: Group,
) -> PyTree:
    """The stats that networks fit to each data set, rows on the device that holds it.

    Samples that are drawn anew in every step are drawn once for it.

    Args:
        fit: see `networks.base.Networks`.
        data: {"x": [data sets, ...], ...}, of which the first n_train samples count.
    """
    kind = kind_of(group)

    def drawn(samples: Batch) -> Batch:
        if kind.noise is None:
            return samples
        return kind.drawn(samples, kind.noise(group.sizes, purpose_key(0, "fit"), n_train))

    fits: dict[int, PyTree] = {}
    for shard in data["x"].addressable_shards:
        first = shard.index[0].start or 0
        rows = {name: _rows_from(x, first) for name, x in data.items()}
        # Devices that share a run hold the same rows.
        for i in (i for i in range(shard.data.shape[0]) if first + i not in fits):
            samples: Any = {
                name: np.take(x[i], range(n_train), axis=kind.sample_axis)
                for name, x in rows.items()
            }
            fits[first + i] = fit(jax.tree.map(np.asarray, drawn(kind.seen(samples))))
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
