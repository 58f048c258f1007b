"""Dimensions from distances to nearest neighbours: TwoNN, maximum likelihood, and local PCA.

None of these learns anything; they are second opinions on what a model has learned. All are biased
low in many dimensions, where neighbours are far and most points near a boundary; `calibration`
corrects for that.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mdvae.analysis.statistics import NAN
from mdvae.settings.words import counted

BLOCK_BYTES = 64 * 2**20
# Up to here sorting costs more than products do, and single precision would save nothing.
DOUBLE_COLUMNS = 64
SPARE = 8
DRAWS = 200
DISCARDED = 0.1
PCA_NEIGHBOURS = 100
PCA_SHARE = 0.1
PCA_POINTS = 500

Progress = Callable[[str], None]


class Neighbours(NamedTuple):
    """The nearest others of each point.

    Attributes:
        distances: [n, k], ascending, in the units of the data.
        indices: [n, k], of rows.
    """

    distances: np.ndarray
    indices: np.ndarray


class Bootstrapped(NamedTuple):
    """A dimension and what it would be on other draws of the points.

    Attributes:
        value: nan where it cannot be had.
        draws: [DRAWS], by the bootstrap.
    """

    value: float
    draws: np.ndarray


class Opinion(NamedTuple):
    """What one estimator says.

    Attributes:
        value: the dimension, nan where the estimator failed.
        low, high: 95 % interval for other draws of the points; bias is not in it.
        note: settings, or why there is no value.
    """

    name: str
    value: float
    low: float
    high: float
    note: str


def nearest(x: np.ndarray, k: int, progress: Progress | None = None) -> Neighbours:
    """The k nearest others of each row, exactly, by products of blocks of rows.

    Products only propose: distances are computed anew from differences in double precision, and
    every row whose product lies within the products' largest rounding error of the k-th distance
    is among those proposed. So neighbours far closer to each other than to the origin are right
    too. Takes O(n²) operations per column, and memory for a few blocks beyond copies of the data.

    Args:
        x: [n, columns], finite.
        progress: told how many rows are done, after each block.

    Raises:
        ValueError: if x is no finite matrix, or has not more than k rows.
    """
    x = np.ascontiguousarray(x, np.float64)
    if x.ndim != 2 or not np.all(np.isfinite(x)):
        raise ValueError("data must be a matrix of finite numbers")
    n, columns = x.shape
    if not 1 <= k < n:
        raise ValueError(f"each of {counted(n, 'row')} has fewer than {k} others")
    dtype = np.float64 if columns <= DOUBLE_COLUMNS else np.float32
    centred = x - x.mean(axis=0)
    scale = float(np.abs(centred).max(initial=0.0)) or 1.0
    rough = (centred / scale).astype(dtype)
    squares = np.einsum("ij,ij->i", rough, rough)
    # Of |b|² - 2ab, with sums in any order; (|a| + |b|)² <= 2 (|a|² + |b|²).
    unit = (columns + 8) * float(np.finfo(dtype).eps)
    error = 2.0 * unit * (squares + squares.max()).astype(np.float64)
    found = Neighbours(np.empty((n, k)), np.empty((n, k), np.int64))
    proposed = min(k + SPARE, n - 1)
    block = min(n, max(1, BLOCK_BYTES // (rough.itemsize * n)))
    inner = max(1, BLOCK_BYTES // (8 * proposed * max(columns, 1)))
    products = np.empty((block, n), dtype)
    for start in range(0, n, block):
        rows = np.arange(start, min(start + block, n))
        close = np.matmul(-2.0 * rough[rows], rough.T, out=products[: len(rows)])
        close += squares
        close[np.arange(len(rows)), rows] = np.inf
        for i in range(0, len(rows), inner):
            part, product = rows[i : i + inner], close[i : i + inner]
            picks = np.argpartition(product, proposed - 1, axis=1)[:, :proposed]
            _keep(found, part, _exact(x, part[:, None], picks), picks)
            reach = (found.distances[part, -1] / scale) ** 2 * (1 + unit) + error[part]
            reach -= squares[part]
            inside = np.count_nonzero(product <= reach[:, None].astype(dtype), axis=1)
            for j in np.flatnonzero(inside > proposed):
                more = np.flatnonzero(product[j] <= reach[j])[None]
                _keep(found, part[j : j + 1], _exact(x, part[j : j + 1, None], more), more)
        if progress is not None:
            progress(f"neighbours of {rows[-1] + 1} of {n} rows")
    return found


def _exact(x: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    difference = x[others]
    difference -= x[rows]
    return np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))


def _keep(found: Neighbours, rows: np.ndarray, distances: np.ndarray, others: np.ndarray) -> None:
    k = found.distances.shape[1]
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    found.distances[rows] = np.take_along_axis(distances, order, axis=1)
    found.indices[rows] = np.take_along_axis(others, order, axis=1)


def log_ratios(distances: np.ndarray) -> np.ndarray:
    """log(r2 / r1) of the two nearest distances, of the points that have no duplicate.

    Args:
        distances: [n, at least 2], ascending.
    """
    first, second = np.asarray(distances, np.float64)[:, :2].T
    kept = first > 0.0
    return np.log(second[kept] / first[kept])


def two_nn(distances: np.ndarray) -> float:
    """TwoNN: log(1 - F(mu)) = -d log(mu), fitted through the origin (Facco et al. 2017, eq. 5).

    The largest tenth of the ratios mu is left out, as in the paper; points that have a duplicate
    are too. nan where fewer than two ratios are left, or all are 1.

    Args:
        distances: [n, at least 2], ascending.
    """
    return _slope(log_ratios(distances))


def _slope(logs: np.ndarray) -> float:
    kept = int(len(logs) * (1 - DISCARDED))
    x = np.sort(logs)[:kept]
    squares = float(x @ x)
    if kept < 2 or squares == 0.0:
        return NAN
    return float(-(x @ np.log1p(-np.arange(1, kept + 1) / len(logs)))) / squares


def local_inverses(distances: np.ndarray, k: int) -> np.ndarray:
    """Inverse dimensions at the points that have no duplicate (Levina & Bickel 2004, eq. 8).

    Args:
        distances: [n, at least k], ascending.

    Raises:
        ValueError: if k is below 2, or there are fewer distances.
    """
    if not 2 <= k <= distances.shape[1]:
        raise ValueError(f"k = {k} of {distances.shape[1]} neighbours; at least 2 are needed")
    kept = np.asarray(distances[:, :k], np.float64)
    logs = np.log(kept[kept[:, 0] > 0.0])
    return np.mean(logs[:, -1:] - logs[:, :-1], axis=1)


def mle(distances: np.ndarray, k: int) -> float:
    """The maximum-likelihood dimension from k neighbours (Levina & Bickel 2004).

    Inverses are averaged over points, not dimensions (MacKay & Ghahramani 2005), which is the
    likelihood's own maximum for all points together, and less biased for small k.

    Args:
        distances: [n, at least k], ascending.
    """
    return _harmonic(local_inverses(distances, k))


def _harmonic(inverses: np.ndarray) -> float:
    mean = float(np.mean(inverses)) if len(inverses) else 0.0
    return 1.0 / mean if mean > 0.0 else NAN


def local_counts(x: np.ndarray, indices: np.ndarray, most: int = PCA_POINTS) -> np.ndarray:
    """Numbers of principal components of neighbourhoods, at no more than so many points.

    Counted are the components with more than a tenth of the variance of the first: the rule of
    Fukunaga & Olsen (1971), FO in scikit-dimension, whose default is a twentieth. Of its rules and
    thresholds this one is right, with 100 neighbours of 2,500 points, on uniform planes of 3 to 20
    dimensions and spheres of 1 to 15; a twentieth counts the bulge of spheres of 10 and more as a
    dimension, the largest gap does on all spheres, and the others count too few on planes. It
    still misses directions in which the data are thinner than a third of their width, and with 100
    neighbours it counts too few from about 30 dimensions on (37 of 40).

    Args:
        x: [n, columns].
        indices: [n, k], of the neighbours of each row.

    Returns:
        [min(n, most)], at points evenly spaced over the rows.
    """
    x = np.asarray(x, np.float64)
    points = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).astype(int))
    k, columns = indices.shape[1], x.shape[1]
    size = max(1, BLOCK_BYTES // (8 * (k + 1) * max(columns, k + 1)))
    counts = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        patch = x[np.concatenate([part[:, None], indices[part]], axis=1)]
        patch -= patch.mean(axis=1, keepdims=True)
        turned = patch.transpose(0, 2, 1)
        gram = turned @ patch if columns <= k else patch @ turned
        variances = np.linalg.eigvalsh(gram)
        counts.append(np.sum(variances > PCA_SHARE * variances[:, -1:], axis=1))
    return np.concatenate(counts)


def local_pca(
    x: np.ndarray, k: int = PCA_NEIGHBOURS, neighbours: Neighbours | None = None
) -> float:
    """The mean of `local_counts`, nan for data of one point repeated.

    Args:
        x: [n, columns].
        k: how many neighbours, of which there should be several times the dimension.
        neighbours: at least k of each row, where they are known.
    """
    if neighbours is None:
        neighbours = nearest(x, k)
    counts = local_counts(x, neighbours.indices[:, :k])
    return float(np.mean(counts)) if np.any(counts) else NAN


def bootstrap(
    values: np.ndarray, statistic: Callable[[np.ndarray], float], generator: np.random.Generator
) -> Bootstrapped:
    """A statistic of local values and of DRAWS resamples of them.

    Neighbours are held: points are drawn, their neighbourhoods not. Those overlap, so that
    intervals are somewhat narrow.

    Args:
        values: [points].
    """
    draws = [
        statistic(values[generator.integers(len(values), size=len(values))]) for _ in range(DRAWS)
    ]
    return Bootstrapped(statistic(values), np.array(draws))


def two_nn_estimate(distances: np.ndarray, generator: np.random.Generator) -> Bootstrapped:
    """`two_nn` with draws of the ratios."""
    return bootstrap(log_ratios(distances), _slope, generator)


def mle_estimate(distances: np.ndarray, k: int, generator: np.random.Generator) -> Bootstrapped:
    """`mle` with draws of the local inverses."""
    return bootstrap(local_inverses(distances, k), _harmonic, generator)


def local_pca_estimate(
    x: np.ndarray, indices: np.ndarray, generator: np.random.Generator
) -> Bootstrapped:
    """`local_pca` with draws of the local counts."""
    return bootstrap(local_counts(x, indices), lambda counts: float(np.mean(counts)), generator)


def opinion(name: str, estimate: Bootstrapped, note: str = "") -> Opinion:
    """An estimate with the 2.5 and 97.5 percentiles of its draws, nan where any draw is."""
    low, high = np.percentile(estimate.draws, (2.5, 97.5))
    return Opinion(name, estimate.value, float(low), float(high), note)
