"""Initial states of a group's runs: drawn at true shapes, padded, kept on the host."""

from collections.abc import Collection
from functools import partial

import jax
import numpy as np

from mdvae.data.keys import purpose_key
from mdvae.methods.base import Method, TrainState
from mdvae.methods.padding import pad_like, padded_shapes
from mdvae.settings.grid import Group, Sizes


def drawn_sizes(sizes: Sizes) -> Sizes:
    """What an initial state depends on: the data's hidden coordinates are no part of a model."""
    return sizes._replace(r=0)


def draw_initial(
    group: Group, method: Method, seeds: Collection[int]
) -> dict[tuple[int, Sizes], TrainState]:
    """Initial states by seed and `drawn_sizes`, padded, NumPy leaves.

    Each is drawn at its true shapes (true fan-in). Cells of one size start from one draw per seed.
    """
    template = padded_shapes(method, group)
    shapes = {drawn_sizes(cell.sizes): cell for cell in group.cells}
    ordered = np.array(sorted(seeds))

    @jax.jit
    def draw(seeds: jax.Array) -> list[TrainState]:
        keys = jax.vmap(partial(purpose_key, purpose="init"))(seeds)
        return [
            jax.vmap(lambda key, cell=cell: pad_like(method.init(key, cell), template))(keys)
            for cell in shapes.values()
        ]

    drawn = jax.device_get(draw(ordered.astype(np.uint32)))
    return {
        (int(seed), sizes): jax.tree.map(lambda leaf, i=i: leaf[i], states)
        for sizes, states in zip(shapes, drawn, strict=True)
        for i, seed in enumerate(ordered)
    }
