"""Dimensions of classes: each apart, and in a CVAE that is told the class."""

import numpy as np

from mdvae.analysis.dims import largest_gap
from mdvae.analysis.neighbours import Opinion
from mdvae.analysis.statistics import mean_interval
from mdvae.data.array_given import standardised
from mdvae.data.files import LEAST_ROWS
from mdvae.data.intake import Intake
from mdvae.data.intake_doubts import of_shape
from mdvae.store.loading import LoadedRun

# What the count of a class in a CVAE is called among its opinions.
TOGETHER = "CVAE of all classes"


def by_class(table: Intake) -> dict[int, tuple[str, Intake]]:
    """The rows of each class that has enough, by its place, with its name."""
    assert table.labels is not None
    found = {}
    for place, name in enumerate(table.classes):
        mine = table.labels == place
        if np.sum(mine) >= LEAST_ROWS:
            x, given = table.x[mine], None if table.given is None else table.given[mine]
            if given is not None:  # what is one number for the class tells it nothing
                given = given[:, np.ptp(given, axis=0) > 0]
                given = given if given.shape[1] else None
            doubts = tuple(of_shape(*x.shape))
            own = table._replace(
                x=x, labels=None, classes=(), given=given, notes=(), warnings=doubts
            )
            found[place] = (name, own)
    return found


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
