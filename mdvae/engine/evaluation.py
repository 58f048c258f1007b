"""From scores by example to what is kept of them: means, and means over blocks of samples.

Scores at the end of training are on all evaluation samples, those on the way on a few of them.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import Batch, PyTree
from mdvae.data.keys import purpose_key
from mdvae.data.units import OWN
from mdvae.engine.chunks import kind_of
from mdvae.engine.ensemble import Placement, map_runs
from mdvae.engine.resolution import RESOLVED_SAMPLES, count_resolvable, mean_posterior
from mdvae.methods.base import Method, units_of
from mdvae.settings.grid import LEAST_EVALUATED, Group

BLOCKS = LEAST_EVALUATED
# On which runs are scored while they train, over all parts of the data: few, for this is done
# often, and enough to see where a held-out loss parts from that of training.
HELD_OUT_SAMPLES = 1_000

# Of scores, the one over latents of which a mean is kept while runs train.
RATIO = "ratio"

Scores = dict[str, jax.Array]


class Evaluation(NamedTuple):
    """What is kept of the scores of one part of the data, by the names of `Method.score`.

    Attributes:
        means: over samples; a scalar score as it is.
        blocks: [..., blocks], of some of them, means over blocks of samples.
    """

    means: dict[str, Any]
    blocks: dict[str, Any]


class HeldOut(NamedTuple):
    """Samples on which the runs of a slice are scored while they train; on the devices.

    Attributes:
        seeds: of the slots, for the noise.
        batches: of each part of the data, {"x": [data sets, ...], ...}.
    """

    seeds: Any
    batches: list[Batch]


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


def mean_scores(scores: Scores) -> Scores:
    """Means over samples of the scores of one number by example, and of the ratios by latent.

    Other scores over latents, and scalars that belong to the model as a whole, are left out.
    """
    return {
        name: jnp.mean(values, axis=-1)
        for name, values in scores.items()
        if values.ndim == 1 or name == RATIO
    }


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


def _are_alike(batches: Sequence[Batch]) -> bool:
    """Whether batches have the same shapes."""
    return len({tuple(x.shape for x in batch.values()) for batch in batches}) == 1


class Programs(NamedTuple):
    """Functions of one device's rows.

    Attributes:
        evaluate: (train states, per_run, seeds, sources) -> `Evaluation`, [runs, parts, ...].
        hold_out: sources -> the first evaluation samples of each part, [data sets, ...].
        score: (train states, per_run, seeds, what `hold_out` made) -> `mean_scores`, [runs, parts].
    """

    evaluate: Callable[..., PyTree]
    hold_out: Callable[..., PyTree]
    score: Callable[..., PyTree]


def make_evaluation(
    group: Group, method: Method, law: Any, places: Sequence[int | None], piece: int
) -> Programs:
    """The programs that score the runs of a group.

    A source is what evaluation samples of a data set are made of: its table where the kind of data
    is traced, otherwise the arrays of each part.

    Args:
        law: of the kind of data; see `data.base.DataKind`.
        places: of the parts of the data that are scored apart; [None] for all samples at once.
        piece: samples that are scored at once; 0 takes all.
    """
    kind = kind_of(group)
    axis, (_, n_eval) = kind.sample_axis, kind.samples(group.cells[0].data)
    n_held_out = max(1, HELD_OUT_SAMPLES // len(places))

    def samples(source: Any, i: int) -> Batch:
        """The evaluation samples of part i of one data set."""
        if not kind.traced:
            return source[i]
        return dict(kind.make(law, source, n_eval, "eval", places[i]))

    def hold_out(sources: Any) -> list[Batch]:
        def first(x: jax.Array) -> jax.Array:
            return jax.lax.slice_in_dim(x, 0, min(n_held_out, x.shape[axis]), axis=axis)

        def of_set(source: Any) -> list[Batch]:
            return [jax.tree.map(first, samples(source, i)) for i in range(len(places))]

        return map_runs(of_set, sources)

    def scored(
        samples: Callable[[Any, int], Batch], reduce: Callable[[Scores, Batch, Any, int], PyTree]
    ) -> Callable[..., PyTree]:
        """The program that scores runs on samples of a source, and reduces that part by part."""

        def score_runs(train: Any, per_run: Any, seeds: Any, sources: Any) -> PyTree:
            def one(run: Any) -> PyTree:
                state, own, seed = run
                key = purpose_key(seed, "eval_noise")
                source = jax.tree.map(lambda rows: rows[own["data"]], sources)

                def on_batch(batch: Batch, i: int) -> PyTree:
                    n = batch["x"].shape[axis]

                    def score(batch: Batch, noise: PyTree) -> Scores:
                        return method.score(state, kind.seen(batch), noise, own["numbers"])

                    noise = method.noise(key, n)
                    scores = score_in_pieces(score, batch, noise, axis, piece or n)
                    return reduce(scores, batch, source, i)

                batches = [samples(source, i) for i in range(len(places))]
                if _are_alike(batches) and not kind.traced and len(batches) > 1:
                    # A loop, for each part in the program is compiled anew.
                    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
                    return jax.lax.map(lambda batch: on_batch(batch, 0), stacked)
                found = [on_batch(batch, i) for i, batch in enumerate(batches)]
                return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

            return map_runs(one, (train, per_run, seeds), group)

        return score_runs

    def evaluated(scores: Scores, batch: Batch, source: Any, i: int) -> Evaluation:
        found = reduce_scores(scores, method.blocks)
        if kind.tangents is not None and "log_gamma" in scores:
            few = jax.lax.slice_in_dim(batch["x"], 0, min(n_eval, RESOLVED_SAMPLES), axis=axis)
            gram_NKK = kind.tangents(law, source, few, places[i])
            gamma = jnp.exp(scores["log_gamma"])
            found.means["resolvable"] = count_resolvable(gram_NKK, gamma)
            found.means["resolved_posterior"] = mean_posterior(gram_NKK, gamma)
        return found

    return Programs(
        evaluate=scored(samples, evaluated),
        hold_out=hold_out,
        score=scored(lambda held_out, i: held_out[i], lambda scores, *_: mean_scores(scores)),
    )
