"""Samples of a cell's data as rows, in the units of their owner; no trained model is needed."""

import dataclasses
from typing import Any

import jax
import numpy as np

from mdvae.data.base import stack_tables
from mdvae.settings.fields import fields_of
from mdvae.settings.grid import Cell, largest
from mdvae.settings.registry import DATA


def batch_of(
    cell: Cell, seed: int, n: int, purpose: str, place: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples [n, ...] and their conditions [n, ...], None where there are none.

    Args:
        purpose: "eval" or "train".
        place: of a part of the data, or None for all of them mixed.

    Raises:
        ValueError: for another purpose.
    """
    if purpose not in ("eval", "train"):
        raise ValueError(f"purpose: {purpose!r} is not usable; it must be 'eval' or 'train'")
    kind = DATA.find(cell.data.kind)
    law, table = kind.law([cell.data], largest([cell])), kind.table(cell.data, seed)
    if kind.traced:
        table = jax.tree.map(lambda column: column[0], stack_tables([table]))
    made: Any = kind.seen(dict(kind.make(law, table, n, purpose, place)))
    x, c = (
        np.moveaxis(np.asarray(made[name]), kind.sample_axis, 0) if name in made else None
        for name in ("x", "c")
    )
    assert x is not None
    return x, c


def stretches_of(cell: Cell, seed: int, points: int, n: int, purpose: str) -> np.ndarray:
    """Up to n stretches of a cell's sequences that do not overlap, [n, points, d].

    Args:
        points: of each; no more than the data have in a row.
        purpose: "eval" or "train".

    Raises:
        ValueError: where the data are no sequences, or for another purpose.
    """
    if not cell.sizes.points:
        raise ValueError(f"stretches: {cell.name} is of no sequences")

    def samples(length: int, count: int, **fields: Any) -> np.ndarray:
        own = dataclasses.replace(cell.data, length=length, past=0, **fields)
        sizes = cell.sizes._replace(past=0, points=length, c=0)
        whole = dataclasses.replace(cell, data=own, sizes=sizes)
        return batch_of(whole, seed, count, purpose, None)[0]

    if "stride" in fields_of(cell.data):
        return samples(points, n, stride=points)
    # One sample of a series of any length, cut.
    return samples(n * points, 1).reshape(n, points, -1)


def place_of(cell: Cell, part: int) -> int:
    """Where a part of a cell's data stands among its parts.

    Raises:
        ValueError: where there is no such part.
    """
    values = [each.value for each in cell.parts]
    if part not in values:
        raise ValueError(f"part: {part} is not usable; {cell.name} has {values}")
    return values.index(part)
