"""Distances of two sets of samples that assume no law: kernels, energy, precision and recall.

KID, MMD and the energy distance are one statistic with three kernels k: the mean of k over pairs
within each set, less twice its mean over pairs between them. Means within a set leave out the
pairs of a sample with itself, so the statistic is unbiased (a U-statistic; Gretton et al. 2012,
eq. 3) and may be negative where the laws are equal.

The interval is by a bootstrap that computes the kernel once. A resample of a set of n is its
samples with multinomial counts w, and the mean over its pairs is that of k_ij with weights
w_i w_j over i < j, divided by the sum of these weights. A sample that is drawn twice makes no pair
with itself: that pair's kernel is that of no distance, and with it every resample would look
closer to itself than samples are. All pairs have one expected share of the weight, so the mean of
the draws is the value. For equal laws the statistic has no term linear in the samples, the
bootstrap's draws spread sqrt(3) times as wide as the statistic, and intervals there are
conservative.

The two sets must be drawn independently. Between a set and itself the pairs of equals count among
those between the sets, and the value is 2 / n times (the kernel's mean within the set less that
of equals), which is below 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist, pdist

from mdvae.analysis.frechet import Distance, around, bootstrap_counts, checked, checked_pair
from mdvae.analysis.neighbours import nearest

# Rows and columns of a kernel that are in memory at once: 8 MiB.
TILE = 1024
# Squared distances below this share of the squared norms are computed from differences.
CLOSE = 1e-4
# A tie of a distance and a radius is not lost to rounding.
TIE = 1e-9
MEDIAN_ROWS = 2000

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


class PrecisionRecall(NamedTuple):
    """Shares of samples within the other set's neighbourhoods.

    Attributes:
        precision: of generated samples among the real ones.
        recall: of real samples among the generated ones.
    """

    precision: Distance
    recall: Distance


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of all rows, [n, m].

    By products, |x|² + |y|² - 2 xy in double precision, whose error is relative to |x|² + |y|².
    Distances that are small against these norms, where the products would lose digits, are
    computed from differences of coordinates instead: no distance is wrong by more than about
    1e-12 of the norms, and that of equal rows is 0. In data that are centred few pairs are so
    near; data far from the origin are only slower.

    Args:
        x: [n, f].
        y: [m, f].
    """
    norms = np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y)
    squares = x @ y.T
    squares *= -2.0
    squares += norms
    norms *= CLOSE
    rows, columns = np.nonzero(squares <= norms)
    # A tile of a set with itself has one such pair a row.
    if len(rows) > 2 * len(x):
        return cdist(x, y, "sqeuclidean")
    gaps = x[rows] - y[columns]
    squares[rows, columns] = np.einsum("ij,ij->i", gaps, gaps)
    return squares


def _centred(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets less one point amid them, so that few distances are small against the norms."""
    origin = (a.mean(axis=0) + b.mean(axis=0)) / 2
    return a - origin, b - origin


def _slices(n: int) -> list[slice]:
    return [slice(start, start + TILE) for start in range(0, n, TILE)]


def _between(
    kernel: Kernel, x: np.ndarray, y: np.ndarray, of_x: np.ndarray, of_y: np.ndarray
) -> np.ndarray:
    """Means of a kernel over pairs of two sets, under each of the weights, [weightings].

    Args:
        of_x: [n, weightings].
        of_y: [m, weightings].
    """
    sums = np.zeros(of_x.shape[1])
    for i in _slices(len(x)):
        for j in _slices(len(y)):
            sums += np.einsum("ib,ib->b", of_x[i], kernel(x[i], y[j]) @ of_y[j])
    return sums / (of_x.sum(axis=0) * of_y.sum(axis=0))


def _within(kernel: Kernel, x: np.ndarray, of_x: np.ndarray) -> np.ndarray:
    """Means of a kernel over pairs of different samples of a set, under weights, [weightings].

    Args:
        of_x: [n, weightings].
    """
    sums = np.zeros(of_x.shape[1])
    parts = _slices(len(x))
    for k, i in enumerate(parts):
        for j in parts[k:]:
            values = kernel(x[i], x[j])
            if i == j:
                values = np.triu(values, 1)
            sums += np.einsum("ib,ib->b", of_x[i], values @ of_x[j])
    pairs = (of_x.sum(axis=0) ** 2 - np.sum(of_x**2, axis=0)) / 2
    return sums / pairs


def _discrepancy(
    kernel: Kernel, a: np.ndarray, b: np.ndarray, draws: int, generator: np.random.Generator
) -> Distance:
    """The unbiased squared maximum mean discrepancy and its interval; see the module."""
    # The sets as they are are the first weighting.
    of_a, of_b = (
        np.concatenate([np.ones((1, counts.shape[1])), counts]).T.copy()
        for counts in bootstrap_counts(len(a), len(b), draws, generator)
    )
    found = (
        _within(kernel, a, of_a) + _within(kernel, b, of_b) - 2 * _between(kernel, a, b, of_a, of_b)
    )
    return around(float(found[0]), found[1:])


def kid(a: np.ndarray, b: np.ndarray, draws: int, generator: np.random.Generator) -> Distance:
    """The kernel distance KID: kernel (xy / f + 1)³ (Bińkowski et al. 2018, section 4).

    Of both sets whole; published values are often means over subsets, which have the same
    expectation. Unbiased, so it needs no correction for n. Takes O(n²) operations per feature and
    draw, and memory for a tile of the kernel and n times the draws.

    Args:
        a: [n, f], of n of 2 or more.
        b: [m, f], drawn independently of a.
        draws: of the bootstrap; 0 gives no interval.

    Raises:
        ValueError: see `checked_pair` and `bootstrap_counts`.
    """
    a, b = checked_pair(a, b)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        values = x @ y.T
        values /= x.shape[1]
        values += 1.0
        # Two products, as a power of whole arrays is many times slower.
        return values * values * values

    return _discrepancy(kernel, a, b, draws, generator)


def energy_distance(
    a: np.ndarray, b: np.ndarray, draws: int, generator: np.random.Generator
) -> Distance:
    """The energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Székely & Rizzo 2013, eq. 5).

    0 for equal laws only; unbiased. In units of the data. It is not the root of this, which
    `scipy.stats.energy_distance` returns for one dimension. Costs are those of `kid`.

    Args:
        a: [n, f], of n of 2 or more.
        b: [m, f], drawn independently of a.
        draws: of the bootstrap; 0 gives no interval.

    Raises:
        ValueError: see `checked_pair` and `bootstrap_counts`.
    """
    a, b = _centred(*checked_pair(a, b))

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        squares = squared_distances(x, y)
        return np.negative(np.sqrt(squares, out=squares), out=squares)

    return _discrepancy(kernel, a, b, draws, generator)


def median_bandwidth(reference: np.ndarray) -> float:
    """The median distance of two different samples (the median heuristic).

    Of no more than 2,000 rows, evenly spaced. Pairs of equal rows are left out.

    Args:
        reference: [n, f].

    Raises:
        ValueError: if the reference is one point repeated, or as `checked`.
    """
    reference = checked(reference)
    rows = np.linspace(0, len(reference) - 1, min(MEDIAN_ROWS, len(reference))).astype(int)
    distances = pdist(reference[rows])
    distances = distances[distances > 0.0]
    if len(distances) == 0:
        raise ValueError("a reference of one point repeated has no bandwidth; give one")
    return float(np.median(distances))


def mmd(
    reference: np.ndarray,
    other: np.ndarray,
    draws: int,
    generator: np.random.Generator,
    bandwidth: float | None = None,
) -> Distance:
    """The squared maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012, eq. 3).

    The kernel is exp(-|x - y|² / (2 bandwidth²)). Unbiased. Costs are those of `kid`.

    Args:
        reference: [n, f], of n of 2 or more.
        other: [m, f], drawn independently of the reference.
        draws: of the bootstrap, in which the bandwidth is held; 0 gives no interval.
        bandwidth: in units of the data; by default `median_bandwidth` of the reference, so that
            values for several others are comparable.

    Raises:
        ValueError: if the bandwidth is not above 0; see also `checked_pair`, `bootstrap_counts`
            and `median_bandwidth`.
    """
    reference, other = checked_pair(reference, other)
    if bandwidth is None:
        bandwidth = median_bandwidth(reference)
    if not 0.0 < bandwidth < np.inf:
        raise ValueError(f"bandwidth: {bandwidth} is not usable; it must be above 0 and finite")
    scale = -0.5 / bandwidth**2

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        squares = squared_distances(x, y)
        squares *= scale
        return np.exp(squares, out=squares)

    return _discrepancy(kernel, *_centred(reference, other), draws, generator)


def precision_recall(
    real: np.ndarray,
    generated: np.ndarray,
    draws: int,
    generator: np.random.Generator,
    k: int = 3,
) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eqs. 1 and 2).

    A set's manifold is taken to be the balls around its samples that reach to their k-th nearest
    others; a tie is within. Precision is the share of generated samples in the real balls, recall
    the share of real samples in the generated balls. Both fall with k and depend on n: compare at
    equal k and n only, and expect less than 1 from equal laws. Takes O(n²) operations per feature.

    Args:
        real: [n, f], of n above k.
        generated: [m, f], of m above k.
        draws: of the bootstrap of the samples that are in or not; the balls are held, so the
            interval is of one set's samples alone. 0 gives no interval.

    Raises:
        ValueError: if a set has not more than k samples; see also `checked_pair`.
    """
    real, generated = checked_pair(real, generated)
    if draws < 0:
        raise ValueError(f"draws: {draws} is not usable; it must be 0 or more")
    reach_real, reach_generated = (
        nearest(x, k).distances[:, -1] ** 2 * (1.0 + TIE) for x in (real, generated)
    )
    real, generated = _centred(real, generated)
    covers_real, covered = np.zeros(len(real), bool), np.zeros(len(generated), bool)
    for i in _slices(len(real)):
        for j in _slices(len(generated)):
            squares = squared_distances(real[i], generated[j])
            covered[j] |= np.any(squares <= reach_real[i, None], axis=0)
            covers_real[i] |= np.any(squares <= reach_generated[j], axis=1)

    def share(inside: np.ndarray) -> Distance:
        value = float(np.mean(inside))
        # Means of resamples of indicators.
        return around(value, generator.binomial(len(inside), value, size=draws) / len(inside))

    return PrecisionRecall(share(covered), share(covers_real))
