"""Digests of the rows of a checkpoint: what is read is what was saved, and of the run that asks.

A row is a run. Each process knows the digests of the rows that its devices hold, so that they are
saved as the arrays themselves are, in one go with them.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from mdvae.data.base import PyTree

SIZE = 32


def _of_rows(item: PyTree, names: Sequence[str]) -> np.ndarray:
    """Digests of the rows of NumPy leaves, uint8 [rows, SIZE], each with its name or none."""
    leaves = jax.tree_util.tree_leaves_with_path(item)
    found = np.empty((len(leaves[0][1]), SIZE), np.uint8)
    for i in range(len(found)):
        name = names[i] if i < len(names) else ""
        digest = hashlib.blake2b(name.encode(), digest_size=SIZE)
        for path, leaf in leaves:
            digest.update(f"{jax.tree_util.keystr(path)}{leaf.dtype}{leaf.shape[1:]}".encode())
            digest.update(leaf[i].tobytes())
        found[i] = np.frombuffer(digest.digest(), np.uint8)
    return found


def of_item(item: PyTree, names: Sequence[str]) -> np.ndarray | jax.Array:
    """The digests of all rows of an item, [rows, SIZE], placed as its rows are.

    Args:
        item: leaves of [rows, ...], NumPy arrays or arrays of JAX that are split by their rows.
        names: of the leading rows; others repeat them and have none.
    """
    leaves = jax.tree.leaves(item)
    n_rows = len(leaves[0])
    sharding = getattr(leaves[0], "sharding", None)
    if not isinstance(sharding, NamedSharding):
        return _of_rows(jax.tree.map(np.asarray, item), names)
    by_rows = NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[:1]))

    def held(index: Any) -> np.ndarray:
        rows = index[0].indices(n_rows)[:2]

        def own(leaf: jax.Array) -> np.ndarray:
            found = next(
                np.asarray(shard.data)
                for shard in leaf.addressable_shards
                if shard.index[0].indices(n_rows)[:2] == rows
            )
            assert found.shape[1:] == leaf.shape[1:], "a row is split over devices"
            return found

        return _of_rows(jax.tree.map(own, item), names[slice(*rows)])

    return jax.make_array_from_callback((n_rows, SIZE), by_rows, held)


def same(item: PyTree, names: Sequence[str], digests: np.ndarray) -> bool:
    """Whether NumPy leaves are what was saved, of which there may be more rows."""
    found = _of_rows(item, names)
    return np.array_equal(found, digests[: len(found)])
