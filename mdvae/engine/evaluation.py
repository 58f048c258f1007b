"""From scores by example to what is kept of them: means, and means over blocks of samples."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import Batch, PyTree
from mdvae.data.units import OWN
from mdvae.engine.ensemble import Placement
from mdvae.methods.base import Method, units_of

BLOCKS = 20

Scores = dict[str, jax.Array]


class Evaluation(NamedTuple):
    """What is kept of the scores of one part of the data, by the names of `Method.score`.

    Attributes:
        means: over samples; a scalar score as it is.
        blocks: [..., blocks], of some of them, means over blocks of samples.
    """

    means: dict[str, Any]
    blocks: dict[str, Any]


def block_means(values_B: jax.Array) -> jax.Array:
    """Means over up to BLOCKS equal blocks of a batch, the last axis.

    Samples beyond equal blocks are left out.
    """
    blocks = min(BLOCKS, values_B.shape[-1])
    size = values_B.shape[-1] // blocks
    cut = values_B[..., : blocks * size].reshape(*values_B.shape[:-1], blocks, size)
    return jnp.mean(cut, axis=-1)


def reduce_scores(scores: Scores, blocks_of: Collection[str]) -> Evaluation:
    """Means over samples, the last axis, of each score that has one.

    Args:
        blocks_of: names of the scores of which means over blocks are kept as well.
    """
    by_example = {name: values for name, values in scores.items() if values.ndim}
    scalars = {name: values for name, values in scores.items() if not values.ndim}
    means = {name: jnp.mean(values, axis=-1) for name, values in by_example.items()}
    blocks = {name: block_means(by_example[name]) for name in blocks_of}
    return Evaluation(means | scalars, blocks)


def in_own_units(
    method: Method, placement: Placement, values: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Means of the real runs of a slice, [runs, ...], in the units of their data.

    On the host: programs know nothing of units, and single precision need not hold squares of them.
    """
    cells = [run.cell for run in placement.slots[: placement.n_runs]]
    if all(units_of(cell) is OWN for cell in cells):
        return values
    rows = [
        method.in_own_units(
            {name: each[i] for name, each in values.items()},
            units_of(cell).log_scale,
            cell.sizes.d,
        )
        for i, cell in enumerate(cells)
    ]
    return {name: np.stack([row[name] for row in rows]) for name in values}


def score_in_pieces(
    score: Callable[[Batch, PyTree], Scores],
    batch: Batch,
    noise: PyTree,
    sample_axis: int,
    piece: int,
) -> Scores:
    """The scores of a batch, of at most `piece` samples at a time.

    Args:
        score: (batch, noise) -> {name: array by example, or scalar}.
        sample_axis: of the arrays of the batch; of noise it is the last.
    """
    n = batch["x"].shape[sample_axis]
    if piece >= n:
        return score(batch, noise)

    def cut(start: Any, size: int) -> Scores:
        def of_axis(axis: int) -> Callable[[jax.Array], jax.Array]:
            return lambda x: jax.lax.dynamic_slice_in_dim(x, start, size, axis=axis % x.ndim)

        return score(jax.tree.map(of_axis(sample_axis), batch), jax.tree.map(of_axis(-1), noise))

    whole = n // piece
    found = jax.lax.map(lambda i: cut(i * piece, piece), jnp.arange(whole, dtype=jnp.int32))
    rest = cut(whole * piece, n - whole * piece) if n % piece else None

    def joined(name: str, values: jax.Array) -> jax.Array:
        if values.ndim == 1:  # a scalar, once per piece
            return values[0]
        flat = jnp.moveaxis(values, 0, -2).reshape(*values.shape[1:-1], whole * piece)
        return flat if rest is None else jnp.concatenate([flat, rest[name]], axis=-1)

    return {name: joined(name, values) for name, values in found.items()}
