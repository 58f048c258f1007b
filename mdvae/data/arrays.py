"""Data kind "array": a table of a user's own, the rows of a .npy or .npz file.

Nothing is known of its dimension. A part of its rows is held out and evaluated on; which ones is
the same for all seeds, so that these differ in initial weights, batches and noise alone. What is
needed of the file to read a run directory is found once and kept in its config.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.base import EPOCH, DataKind, DataSizes
from mdvae.data.files import LEAST_ROWS, Facts, content_of, describe, open_table
from mdvae.data.units import Units
from mdvae.settings.fields import (
    ABOVE_ZERO,
    NUMBER_RULE,
    TEXT,
    ConfigError,
    Rule,
    Section,
    fixed,
    found,
    has_found,
    is_number,
    one_of,
    whole,
)
from mdvae.settings.grid import LEAST_EVALUATED
from mdvae.settings.registry import DATA

SCALINGS = ("standard", "none")
SPLIT_SEED = 0

_ROWS = Rule(
    lambda v: is_number(v) and (0 < v < 1 or (v >= 1 and v == int(v))),
    "a fraction between 0 and 1, or a number of rows",
    float,
)
_MEANS = Rule(
    lambda v: isinstance(v, tuple) and all(map(is_number, v)), "a tuple of numbers", tuple
)


@dataclasses.dataclass(frozen=True)
class Array(Section):
    """A file, and what was found in it.

    Attributes:
        path: of a .npy or .npz file with a table [n, d] of real numbers.
        array: the name of the array in an .npz file that has several.
        scaling: "standard" has the networks see (x - mean) / scale, the mean of each column and
            one scale for all, so that results do not depend on where x is and how large; "none"
            has them see x. What is reported is of x either way.
        n_eval: rows that are held out and evaluated on, as a fraction or a number.
        content: a hash of the values.
        rows, d: of the table.
        mean: of each column.
        scale: root of the variance, mean over columns.
        low, high: the least and the largest value, as the networks see it.
    """

    path: str = fixed("", TEXT, decides=False)
    array: str = fixed("", TEXT, decides=False)
    scaling: str = fixed("standard", one_of(SCALINGS))
    n_eval: float = fixed(0.2, _ROWS)
    content: str | None = found(TEXT, decides=True)
    rows: int | None = found(whole(1))
    d: int | None = found(whole(1))
    mean: tuple[float, ...] | None = found(_MEANS)
    scale: float | None = found(ABOVE_ZERO)
    low: float | None = found(NUMBER_RULE)
    high: float | None = found(NUMBER_RULE)

    def completed(self) -> "Array":
        """With what is found in the file; what a run directory has is taken as it is."""
        return self if has_found(self, "data", "the file") else self.looked_up()

    def looked_up(self) -> "Array":
        """With what is found in the file."""
        return self.described(describe(self.path, open_table(self.path, self.array)))

    def described(self, facts: Facts) -> "Array":
        """With what there is to know of the table."""
        low, high = facts.low, facts.high
        if self.scaling == "standard":
            low, high = (low - facts.mean) / facts.scale, (high - facts.mean) / facts.scale
        return dataclasses.replace(
            self,
            path=str(Path(self.path).absolute()),
            content=facts.content,
            rows=facts.rows,
            d=facts.d,
            mean=tuple(facts.mean.tolist()),
            scale=facts.scale,
            low=float(low.min()),
            high=float(high.max()),
        )


class Table(NamedTuple):
    """What a data set depends on: the same for all seeds."""

    content: str
    n_eval: int


def check_content(settings: Any, table: np.ndarray) -> None:
    """Refuses values that are no longer those of the settings."""
    if content_of(table) != settings.content:
        raise ConfigError(
            f"data.path: the values in {settings.path} are not those that this run was begun with;"
            " restore them, or begin another run"
        )


def samples_of(settings: Any) -> tuple[int, int]:
    """Rows to train on, and rows that are held out."""
    share = settings.n_eval
    wanted = max(LEAST_EVALUATED, round(share * settings.rows)) if share < 1 else int(share)
    return settings.rows - wanted, wanted


def split_order(rows: int) -> np.ndarray:
    """Numbers of the rows of a table, those that are held out first, [rows]."""
    return np.random.default_rng(SPLIT_SEED).permutation(rows)


def check_split(settings: Any, named: Any) -> None:
    """Refuses to hold out too few rows, or to leave too few."""
    n_train, n_eval = samples_of(settings)
    least = LEAST_ROWS - LEAST_EVALUATED
    if n_eval < LEAST_EVALUATED or n_train < least:
        raise ConfigError(
            f"data.n_eval: {settings.n_eval:g} holds out {n_eval} of {settings.rows} rows and"
            f" leaves {n_train}; it must hold out {LEAST_EVALUATED} or more and leave {least} or"
            " more"
        )


def _make(law: Any, table: Table, n: int, split: str, part: int | None) -> dict[str, np.ndarray]:
    """Up to n rows of one side of the split, [d, n], in own units and double precision.

    Raises:
        ConfigError: where the file is not there any more, or its content is another.
    """
    settings, _ = law
    values = open_table(settings.path, settings.array)
    check_content(settings, values)
    order = split_order(len(values))
    mine = order[: table.n_eval] if split == "eval" else order[table.n_eval :]
    return {"x": np.asarray(values[mine[:n]], np.float64).T}


def units_of_table(settings: Any) -> Units:
    """The units of a table."""
    standard = settings.scaling == "standard"
    return Units(
        mean=np.array(settings.mean) if standard else 0.0,
        scale=settings.scale if standard else 1.0,
        log_variance=2.0 * math.log(settings.scale),
        low=settings.low,
        high=settings.high,
    )


DATA.add(
    "array",
    DataKind(
        settings=Array,
        sizes=lambda settings, told: DataSizes(settings.d),
        samples=samples_of,
        table=lambda settings, seed: Table(settings.content, samples_of(settings)[1]),
        make=_make,
        order=EPOCH,
        traced=False,
        check=check_split,
        units=units_of_table,
    ),
)
