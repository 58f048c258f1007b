"""What nearest neighbours see in normal data: the curve by which their bias is undone.

TwoNN (Facco et al., 2017) counts too few of many dimensions, because the nearest of n points are
then far away. By how much depends on n, on the dimension and on the law of the points, so that it
can be undone where the law is known: codes of a VAE are to be standard normal, and of data one can
but suppose it. The table was made by

    python -m mdvae.estimation.normal_law
"""

import csv
import functools
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from mdvae.analysis.neighbours import nearest, two_nn
from mdvae.store.rundir import write_csv

TABLE = "normal_law.csv"
ROWS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000)
DIMENSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 50, 64)
# Points that each entry is a mean over.
POINTS = 60_000


@functools.cache
def _table() -> np.ndarray:
    """TwoNN of normal data, [rows, dimensions]."""
    source = resources.files("mdvae.estimation") / TABLE
    found = {
        (int(row["rows"]), int(row["dimension"])): float(row["two_nn"])
        for row in csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    }
    return np.array([[found[n, k] for k in DIMENSIONS] for n in ROWS])


def seen(n: int) -> np.ndarray:
    """What TwoNN sees of n normal points, by dimension, [DIMENSIONS]."""
    n = min(max(n, ROWS[0]), ROWS[-1])
    logs = np.log(ROWS)
    return np.array([np.interp(np.log(n), logs, column) for column in _table().T])


def calibrated(value: float, n: int) -> float:
    """The dimension of normal data of which TwoNN sees so much; beyond the table in proportion.

    Args:
        value: what it sees.
        n: points.
    """
    curve = np.maximum.accumulate(seen(n))
    if value >= curve[-1]:
        return float(value * DIMENSIONS[-1] / curve[-1])
    return float(np.interp(value, [0.0, *curve], [0.0, *DIMENSIONS]))


def measure(progress: Callable[[str], None]) -> list[dict[str, float]]:
    """The rows of the table, computed anew."""
    rows = []
    for n in ROWS:
        for k in DIMENSIONS:
            generator = np.random.default_rng((n, k))
            draws = max(3, POINTS // n)
            found = [
                two_nn(nearest(generator.normal(size=(n, k)), 2).distances) for _ in range(draws)
            ]
            rows.append({"rows": n, "dimension": k, "two_nn": round(float(np.mean(found)), 4)})
            progress(f"{n} rows, {k} dimensions: {rows[-1]['two_nn']}")
    return rows


if __name__ == "__main__":
    write_csv(Path(__file__).with_name(TABLE), measure(print))
