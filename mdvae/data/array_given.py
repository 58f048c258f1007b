"""Data kind "array_given": a table of a user's own, and what is known of each of its rows.

The condition c comes from a file of its own with as many rows; a CVAE is told it, a VAE ignores it.
Its columns are scaled one by one, for they have nothing to do with one another.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.arrays import (
    Array,
    check_content,
    check_split,
    samples_of,
    split_order,
    units_of_table,
)
from mdvae.data.base import EPOCH, DataKind, DataSizes
from mdvae.data.files import content_of, describe, open_table
from mdvae.settings.fields import TEXT, ConfigError, fixed, found, whole
from mdvae.settings.registry import DATA
from mdvae.settings.words import counted


def _of_given(read: Callable[[], Any]) -> Any:
    """What a function reads; its errors name the fields of what is given."""
    try:
        return read()
    except ConfigError as error:
        text = (
            str(error).replace("data.path", "data.given").replace("data.array", "data.given_array")
        )
        raise ConfigError(text) from error


@dataclasses.dataclass(frozen=True)
class ArrayGiven(Array):
    """A file with a table and one with what is given, and what was found in them.

    Attributes:
        given: of a .npy or .npz file with a table [n, c] of real numbers.
        given_array: the name of the array in an .npz file that has several.
        given_content: a hash of the values.
        c: columns of what is given.
    """

    given: str = fixed("", TEXT, decides=False)
    given_array: str = fixed("", TEXT, decides=False)
    given_content: str | None = found(TEXT, decides=True)
    c: int | None = found(whole(1))

    def looked_up(self) -> Array:
        """With what is found in the files."""
        own = super().looked_up()
        if not self.given:
            raise ConfigError("data.given: missing; give a .npy or .npz file")
        facts = _of_given(lambda: describe(self.given, open_table(self.given, self.given_array)))
        completed = dataclasses.replace(
            own,
            given=str(Path(self.given).absolute()),
            given_content=facts.content,
            c=facts.d,
        )
        if facts.rows != completed.rows:
            raise ConfigError(
                f"data.given: {self.given} has {counted(facts.rows, 'row')} and {self.path}"
                f" {completed.rows}; it must have as many"
            )
        return completed


def standardised(given: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """What is given as networks are told it, [n, c]: each column of mean 0 and variance 1.

    Args:
        known: rows whose mean and variance count, where they are others.
    """
    given = np.asarray(given, np.float64)
    known = given if known is None else np.asarray(known, np.float64)
    spread = known.std(axis=0)
    return (given - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


class Table(NamedTuple):
    """What a data set depends on: the same for all seeds."""

    content: str
    given: str
    n_eval: int


def _make(law: Any, table: Table, n: int, split: str, part: int | None) -> dict[str, np.ndarray]:
    """Up to n rows of one side of the split, [d, n] and [c, n], in own units."""
    settings, sizes = law
    values = open_table(settings.path, settings.array)
    check_content(settings, values)
    order = split_order(len(values))
    mine = (order[: table.n_eval] if split == "eval" else order[table.n_eval :])[:n]
    batch = {"x": np.asarray(values[mine], np.float64).T}
    if sizes.c:
        given = _of_given(lambda: open_table(settings.given, settings.given_array))
        if content_of(given) != settings.given_content:
            raise ConfigError(
                f"data.given: the values in {settings.given} are not those that this run was begun"
                " with; restore them, or begin another run"
            )
        batch["c"] = standardised(given)[mine].T
    return batch


DATA.add(
    "array_given",
    DataKind(
        settings=ArrayGiven,
        sizes=lambda settings, told: DataSizes(settings.d, settings.c if told else 0),
        samples=samples_of,
        table=lambda settings, seed: Table(
            settings.content, settings.given_content, samples_of(settings)[1]
        ),
        make=_make,
        order=EPOCH,
        traced=False,
        check=check_split,
        units=units_of_table,
    ),
)
