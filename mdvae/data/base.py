"""What a kind of data is: sizes, samples, and the parts that are evaluated apart.

A batch is a dict of arrays, {"x": ...} and, where the networks are given a condition, "c". Their
layout is the kind's own; the engine knows one axis of each array, that of samples.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mdvae.data.units import OWN, Units
from mdvae.settings.grid import Named, Part, Sizes

PyTree = Any
Batch = dict[str, jax.Array]

# Of the orders in which samples make batches.
WINDOW, EPOCH, TURN = "window", "epoch", "turn"

FEATURE_MAJOR = -1


class DataSizes(NamedTuple):
    """Widths of x, of the condition and of hidden coordinates; see `settings.grid.Sizes`."""

    d: int
    c: int = 0
    r: int = 0
    shape: tuple[int, ...] = ()
    past: int = 0
    points: int = 0


def _no_check(settings: Any, named: Named) -> None:
    """Settings that go together however they are chosen."""


def _one_part(settings: Any) -> tuple[Part, ...]:
    """Data that are evaluated as a whole, and of which no truth is known."""
    return (Part(),)


def _own_units(settings: Any) -> Units:
    """Data that networks see as they are."""
    return OWN


def _no_dtypes(settings: Any) -> Mapping[str, Any]:
    """Arrays of float32."""
    return {}


def _as_kept(batch: Batch) -> Batch:
    """Arrays that networks are given as they are kept."""
    return batch


def _undrawn(batch: Batch, noise: PyTree) -> Batch:
    """Samples that are what they are."""
    return batch


def _plain_law(settings: Sequence[Any], sizes: Sizes) -> Hashable:
    """What `make` needs beyond the table: the settings, where they are one for all cells."""
    return settings[0], sizes


def feature_major(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Shapes of vectors x and c, samples apart."""
    return {"x": (sizes.d,), "c": (sizes.c,)} if sizes.c else {"x": (sizes.d,)}


def samples_first(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Shapes of x that is no vector, and of its condition, samples apart."""
    return {"x": sizes.shape, "c": (sizes.c,)} if sizes.c else {"x": sizes.shape}


class DataKind(NamedTuple):
    """A kind of data.

    Attributes:
        settings: the class of its section.
        sizes: (settings, told) -> `DataSizes`; c is 0 unless the networks are told the condition.
        samples: settings -> how many to train on, and how many to evaluate each part on.
        table: (settings, seed) -> what a data set depends on, a NamedTuple of whole numbers and
            floats. Runs that agree in it share one data set.
        make: (law, table, n, split, part) -> n samples; `split` is "train" or "eval", `part` the
            place of one part, or None for all of them mixed. Where `traced`, the table's numbers
            are traced and so is the result; otherwise it is NumPy arrays in the data's own units:
            all n training samples that `samples` states, at most n of others. What has a padded
            axis is zero in the padding.
        law: (settings of all cells of a program, their largest sizes) -> what of them is static.
        shapes: sizes -> the shape of each array, samples apart; leading parts of all axes are what
            smaller sizes would have.
        dtypes: settings -> the dtype of each array that is kept as another than float32.
        seen: a batch as it is kept -> as the networks are given it, float32; traced.
        noise: (sizes, key, n) -> what n samples are drawn with anew in every step, axes as those of
            a method's noise; None where samples are what they are.
        drawn: (batch as it is seen, noise) -> one of samples that are drawn; traced. Evaluation
            samples are drawn once, by `make`.
        sample_axis: of all arrays: -1 for [width, samples], 0 for [samples, ...].
        parts: settings -> the parts that are evaluated apart, with their truth where it is known.
        part_name: what tells a part from others is called.
        order: WINDOW, neighbours from a random place on, for samples that are independent anyway;
            EPOCH, each sample once in a random order before any comes again; TURN, neighbours, each
            batch from where the one before ended. Or a function of the settings to one of these.
        traced: see `make`.
        tangents: (law, table, x, part) -> [n, r, r], matrices whose eigenvalues are how much x
            varies, near each sample, along each direction of its manifold that the networks are not
            told, and 0 for other entries of the padded r; None where no manifold is known. `x` and
            `part` are those of `make`.
        units: settings -> `Units`; data that are traced are seen as they are.
        in_units: the arrays that have them.
        check: (settings, named) raises a ConfigError for settings that do not go together;
            `named` says what the user calls a field.
    """

    settings: type
    sizes: Callable[[Any, bool], DataSizes]
    samples: Callable[[Any], tuple[int, int]]
    table: Callable[[Any, int], Any]
    make: Callable[[Any, Any, int, str, int | None], Mapping[str, Any]]
    law: Callable[[Sequence[Any], Sizes], Hashable] = _plain_law
    shapes: Callable[[Sizes], dict[str, tuple[int, ...]]] = feature_major
    dtypes: Callable[[Any], Mapping[str, Any]] = _no_dtypes
    seen: Callable[[Batch], Batch] = _as_kept
    noise: Callable[[Sizes, jax.Array, int], PyTree] | None = None
    drawn: Callable[[Batch, PyTree], Batch] = _undrawn
    sample_axis: int = FEATURE_MAJOR
    parts: Callable[[Any], tuple[Part, ...]] = _one_part
    part_name: str = "part"
    order: str | Callable[[Any], str] = WINDOW
    traced: bool = True
    tangents: Callable[[Any, Any, jax.Array, int | None], jax.Array] | None = None
    units: Callable[[Any], Units] = _own_units
    in_units: tuple[str, ...] = ("x",)
    check: Callable[[Any, Named], None] = _no_check

    def order_of(self, settings: Any) -> str:
        """The order in which samples make batches under some settings."""
        return self.order if isinstance(self.order, str) else self.order(settings)


def stack_tables(tables: Sequence[Any]) -> Any:
    """Tables as one, an array per field: uint32 for whole numbers, float32 for others."""

    def column(values: Sequence[Any]) -> np.ndarray:
        whole = all(isinstance(value, int) for value in values)
        return np.array(values, np.uint32 if whole else np.float32)

    return type(tables[0])(*map(column, zip(*tables, strict=True)))
