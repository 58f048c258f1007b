"""From scores by example to what is kept of them: means, and means over blocks of samples."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mdvae.data.base import Batch, PyTree
from mdvae.data.units import OWN
from mdvae.engine.ensemble import Placement
from mdvae.methods.base import Method, units_of
from mdvae.settings.grid import LEAST_EVALUATED

BLOCKS = LEAST_EVALUATED
# Of gamma: a direction that varies by more is resolved. Samples on which that is looked at.
RESOLVED = 10.0
RESOLVED_SAMPLES = 2_000

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
    """Means over BLOCKS blocks of a batch, the last axis; the first may have one sample more.

    Every sample is in a block of its own where there are fewer than BLOCKS.
    """
    blocks = min(BLOCKS, values_B.shape[-1])
    size, longer = divmod(values_B.shape[-1], blocks)
    split = longer * (size + 1)

    def means(part_B: jax.Array, blocks: int) -> jax.Array:
        return jnp.mean(part_B.reshape(*part_B.shape[:-1], blocks, -1), axis=-1)

    parts = [(values_B[..., :split], longer), (values_B[..., split:], blocks - longer)]
    return jnp.concatenate([means(part_B, n) for part_B, n in parts if n], axis=-1)


def count_above(gram_NKK: jax.Array, level: jax.Array) -> jax.Array:
    """How many eigenvalues of symmetric matrices are above a level, [n].

    By Sylvester's law of inertia: as many as A - level I has positive pivots. LAPACK's own
    eigenvalues, called from several CPU devices at once, wait for each other for ever.
    """
    k = gram_NKK.shape[-1]

    def eliminate(j: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rest_NKK, count_N = carry
        column_NK = lax.dynamic_index_in_dim(rest_NKK, j, axis=2, keepdims=False)
        pivot_N = lax.dynamic_index_in_dim(column_NK, j, axis=1, keepdims=False)
        safe_N = jnp.where(pivot_N == 0.0, 1e-12, pivot_N)
        change_NKK = column_NK[:, :, None] * column_NK[:, None, :] / safe_N[:, None, None]
        return rest_NKK - change_NKK, count_N + (pivot_N > 0.0).astype(jnp.int32)

    shifted_NKK = gram_NKK / level - jnp.eye(k)[None]
    zeros_N = jnp.zeros(len(gram_NKK), jnp.int32)
    return lax.fori_loop(jnp.int32(0), jnp.int32(k), eliminate, (shifted_NKK, zeros_N))[1]


def count_resolvable(gram_NKK: jax.Array, gamma: jax.Array) -> jax.Array:
    """Fractions of samples near which so many directions vary by more than gamma resolves.

    A direction of variance v is worth a latent where v > gamma (the linear VAE's condition);
    from RESOLVED gamma on, its latent's variance is clearly below the prior's.

    Args:
        gram_NKK: see `data.base.DataKind.tangents`.

    Returns:
        For 0 to k directions, [k + 1].
    """
    count_N = count_above(gram_NKK, RESOLVED * gamma)
    return jnp.mean(jax.nn.one_hot(count_N, gram_NKK.shape[-1] + 1), axis=0)


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
