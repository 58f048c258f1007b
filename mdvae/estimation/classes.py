"""Dimensions of classes: each apart, and in a CVAE that is told the class."""

import numpy as np

from mdvae.analysis.dims import largest_gap
from mdvae.analysis.neighbours import Opinion
from mdvae.analysis.statistics import mean_interval
from mdvae.data.array_given import standardised
from mdvae.data.files import LEAST_ROWS
from mdvae.data.intake import Intake
from mdvae.data.intake_doubts import of_shape
from mdvae.data.intake_words import named
from mdvae.store.loading import LoadedRun

# What the count of a class in a CVAE is called among its opinions.
TOGETHER = "CVAE of all classes"
# Each class that is estimated by itself takes about as long as a table.
MOST_APART = 20


def _of_enough_rows(table: Intake) -> list[int]:
    """Places of the classes that have enough rows, those of most rows first."""
    if table.labels is None:
        return []
    rows = np.bincount(table.labels, minlength=len(table.classes))
    return [int(place) for place in np.argsort(-rows, kind="stable") if rows[place] >= LEAST_ROWS]


def estimated_apart(table: Intake) -> list[int]:
    """Places of the classes that are estimated by themselves.

    Those of enough rows; of more than MOST_APART those that have most.
    """
    return sorted(_of_enough_rows(table)[:MOST_APART])


def left_out(table: Intake) -> list[str]:
    """A sentence where classes of enough rows are too many to be estimated by themselves."""
    names = [table.classes[place] for place in sorted(_of_enough_rows(table)[MOST_APART:])]
    if not names:
        return []
    noun = "other has" if len(names) == 1 else "others have"
    return [
        f"only the {MOST_APART} classes of most rows are estimated by themselves; {len(names)}"
        f" {noun} enough rows too, and would be with fewer classes: {named(names)}"
    ]


def rows_of_class(table: Intake, place: int) -> Intake:
    """The rows of a class, as a table of their own."""
    mine = table.labels == place
    x, given = table.x[mine], None if table.given is None else table.given[mine]
    if given is not None:  # what is one number for the class tells it nothing
        given = given[:, np.ptp(given, axis=0) > 0]
        given = given if given.shape[1] else None
    doubts = tuple(of_shape(*x.shape))
    return table._replace(x=x, labels=None, classes=(), given=given, notes=(), warnings=doubts)


def one_hot(table: Intake) -> np.ndarray:
    """The classes as columns of 0 and 1, beside what is given, [n, classes + c]."""
    columns = np.eye(len(table.classes))[table.labels]
    return columns if table.given is None else np.concatenate([columns, table.given], axis=1)


def counts_by_class(
    run: LoadedRun, x: np.ndarray, told: np.ndarray, table: Intake
) -> dict[str, Opinion]:
    """Active dimensions of each class in a CVAE, by the largest gap, over seeds.

    Args:
        run: of one cell, with the prior N(0, I).
        x: [n, d], as the CVAE was given it.
        told: [n, c], its conditions, in own units.
    """
    (cell,) = run.cells
    c = standardised(told)
    found = {}
    for place, name in enumerate(table.classes):
        mine = np.flatnonzero(table.labels == place)
        counts = []
        for seed in run.seeds:
            _, logvar = run.encode(cell, seed, x[mine], c[mine])
            ratios = np.exp(logvar.astype(np.float64)).mean(axis=0)
            counts.append(largest_gap(ratios, run.config.analysis.ad_min_gap).ad)
        mean = mean_interval(counts)
        found[name] = Opinion(
            TOGETHER,
            mean.mean,
            mean.low,
            mean.high,
            f"{mean.n} of {len(counts)} seeds",
        )
    return found
