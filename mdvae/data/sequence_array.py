"""Data kind "sequence_array": sequences of a user's own, a .npy or .npz array [n, points, d].

A sample is a stretch of `length` neighbouring points of one sequence; see `sequences` for their
layout, and `arrays` for units and for what is kept of the file. Nothing is known of a dimension.
Whole sequences are held out, or, of few, the end of each.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.arrays import SPLIT_SEED, Array, check_content, units_of_table
from mdvae.data.base import EPOCH, DataKind
from mdvae.data.files import LEAST_ROWS, SEQUENCES, check_memory, describe, open_table
from mdvae.data.sequences import (
    check_past,
    sequence_shapes,
    sequence_sizes,
    split_points,
    windows,
)
from mdvae.settings.fields import ConfigError, fixed, found, static, whole
from mdvae.settings.grid import LEAST_EVALUATED, Named
from mdvae.settings.registry import DATA

# Of fewer sequences than these the end of each is held out, not some of them.
LEAST_SEQUENCES = 10


@dataclasses.dataclass(frozen=True)
class SequenceArray(Array):
    """A file of sequences, and what was found in it; beside what `arrays.Array` has.

    Attributes:
        n_eval: what is held out, as a fraction or a number of sequences; of fewer than ten
            sequences as a fraction or a number of the points of each.
        length: points of a sample; 0 takes whole sequences.
        past: of which so many are given; the others are predicted, each from all before it.
        stride: points from one sample's first to the next one's.
        sequences, points: how many there are, and how long each is.
    """

    length: int = static(0, whole(0))
    past: int = static(0, whole(0))
    stride: int = fixed(1, whole(1))
    sequences: int | None = found(whole(1))
    points: int | None = found(whole(1))

    def looked_up(self) -> Array:
        """With what is found in the file."""
        values = open_table(self.path, self.array, SEQUENCES)
        n, points, d = values.shape
        if self.length > points:
            raise ConfigError(
                f"data.length: {self.length} is more than the {points} points of a sequence in"
                f" {self.path}; it must be {points} or less"
            )
        facts = describe(self.path, values.reshape(-1, d), points)
        counted = dataclasses.replace(
            self, sequences=n, points=points, length=self.length or points
        )
        return counted.described(facts)


class Table(NamedTuple):
    """What a data set depends on: the same for all seeds."""

    content: str
    sequences: int
    points: int
    n_eval: float


def _held_out(settings: Any) -> tuple[bool, int]:
    """Whether the ends of sequences are held out, and how many sequences or points that are."""
    by_time = settings.sequences < LEAST_SEQUENCES
    share, n = settings.n_eval, settings.points if by_time else settings.sequences
    return by_time, max(1, round(share * n)) if share < 1 else int(share)


def _samples(settings: Any) -> tuple[int, int]:
    """Samples to train on, and samples of what is held out."""

    def count(sequences: int, points: int) -> int:
        return sequences * max(0, (points - settings.length) // settings.stride + 1)

    (by_time, held), n, points = _held_out(settings), settings.sequences, settings.points
    if by_time:
        return count(n, points - held), count(n, held)
    return count(n - held, points), count(held, points)


def _check(settings: Any, named: Named) -> None:
    """Refuses samples longer than sequences, and too few on either side of the split."""
    if not 0 < settings.length <= settings.points:
        raise ConfigError(
            f"{named('length')}: {settings.length} is not usable; on an axis it must be from 1 to"
            f" {settings.points}, the points of a sequence"
        )
    check_past(settings, named)
    by_time, held = _held_out(settings)
    n, what = (settings.points, "points") if by_time else (settings.sequences, "sequences")
    if held >= n:
        raise ConfigError(
            f"data.n_eval: {settings.n_eval:g} holds out all {n} {what}; it must leave some"
        )
    n_train, n_eval = _samples(settings)
    least = LEAST_ROWS - LEAST_EVALUATED
    if n_eval < LEAST_EVALUATED or n_train < least:
        stride = " or data.stride" if settings.stride > 1 else ""
        raise ConfigError(
            f"data.n_eval: {settings.n_eval:g} of {settings.sequences} sequences of"
            f" {settings.points} points holds out {n_eval} samples of {settings.length} points and"
            f" leaves {n_train}; it must hold out {LEAST_EVALUATED} or more and leave {least} or"
            f" more; a smaller data.length{stride} gives more of both"
        )
    values = max(n_train, n_eval) * settings.length * settings.d
    # In double precision, and as networks are given them.
    check_memory(Path(settings.path), 12 * values, "sequences, or a larger data.stride")


def _make(law: Any, table: Table, n: int, split: str, part: int | None) -> dict[str, np.ndarray]:
    """Up to n samples of one side of the split, in own units and double precision.

    Raises:
        ConfigError: where the file is not there any more, or its content is another.
    """
    settings, sizes = law
    values = open_table(settings.path, settings.array, SEQUENCES)
    check_content(settings, values.reshape(-1, values.shape[-1]))
    by_time, held = _held_out(settings)
    if by_time:
        cut = settings.points - held
        mine = values[:, cut:] if split == "eval" else values[:, :cut]
    else:
        order = np.random.default_rng(SPLIT_SEED).permutation(len(values))
        mine = values[order[:held] if split == "eval" else order[held:]]
    found, left = [], n
    for each in mine:
        cut_up = windows(np.asarray(each, np.float64).T, settings.length)
        found.append(cut_up[..., :: settings.stride][..., : max(left, 0)])
        left -= found[-1].shape[-1]
        if left <= 0:
            break
    return split_points(np.concatenate(found, axis=-1), sizes)


DATA.add(
    "sequence_array",
    DataKind(
        settings=SequenceArray,
        sizes=lambda s, told: sequence_sizes(s.d, s.length, s.past, told),
        samples=_samples,
        table=lambda settings, seed: Table(
            settings.content, settings.sequences, settings.points, settings.n_eval
        ),
        make=_make,
        shapes=sequence_shapes,
        order=EPOCH,
        traced=False,
        check=_check,
        units=units_of_table,
        in_units=("x", "c"),
    ),
)
