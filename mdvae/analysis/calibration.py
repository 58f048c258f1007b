"""Estimates of dimension against references whose dimension is known."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mdvae.analysis.neighbours import DRAWS, Bootstrapped, Progress
from mdvae.analysis.statistics import NAN
from mdvae.settings.words import counted

# Of the total variance; what is below it is taken for rounding.
LEAST_VARIANCE = 1e-6
# So many references in a row above the data end the search.
ENOUGH_ABOVE = 2


def subsample(x: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """All rows of x, or so many of them at random, without replacement and in their order."""
    if len(x) <= most:
        return x
    return x[np.sort(generator.choice(len(x), most, replace=False))]


def _products(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table less its mean, and the products of its columns, or of its rows where these are fewer.

    Either have the variances of the principal components, times the rows, for eigenvalues.
    """
    centred = np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64)
    n, columns = centred.shape
    return centred, centred @ centred.T if columns > n else centred.T @ centred


def linear_span(x: np.ndarray) -> int:
    """How many principal components have more than 1e-6 of the total variance: one at least.

    These are as many as `linear_scores` has columns, without the scores.

    Args:
        x: [n, columns].
    """
    variances = np.linalg.eigvalsh(_products(x)[1])
    return max(1, int(np.sum(variances > LEAST_VARIANCE * variances.sum())))


def linear_scores(x: np.ndarray) -> np.ndarray:
    """Scores of the principal components with more than 1e-6 of the total variance.

    Distances between rows are those of x but for the components left out.

    Args:
        x: [n, columns].

    Returns:
        [n, linear span], by descending variance; no columns if all rows are the same.
    """
    centred, products = _products(x)
    wide = len(products) < x.shape[1]
    variances, axes = np.linalg.eigh(products)
    kept = np.flatnonzero(variances > LEAST_VARIANCE * variances.sum())[::-1]
    return axes[:, kept] * np.sqrt(variances[kept]) if wide else centred @ axes[:, kept]


def references(
    scores: np.ndarray, dimensions: Sequence[int], generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Data of known dimension: the first m scores, each column permuted by itself.

    Columns are then independent, with the data's own marginals, so that the dimension is m.

    Args:
        scores: [n, linear span], as from `linear_scores`.
        dimensions: each m, of which those above the linear span are left out.

    Yields:
        [n, m].
    """
    for m in dimensions:
        if m <= scores.shape[1]:
            yield generator.permuted(scores[:, :m], axis=0)


def dimension_grid(span: int) -> list[int]:
    """Dimensions up to a linear span, four or so an octave, and the span itself."""
    octaves = range(2, max(span, 1).bit_length())
    grid = {1, 2, 3} | {2**e * part // 4 for e in octaves for part in (4, 5, 6, 7)}
    return sorted({m for m in grid if m < span} | ({span} if span else set()))


def calibrated(
    x: np.ndarray,
    estimate: Callable[[np.ndarray], Bootstrapped],
    dimensions: Sequence[int],
    generator: np.random.Generator,
    progress: Progress | None = None,
) -> Bootstrapped:
    """The dimension of the reference on which an estimator says what it says on the data.

    This corrects what the references share with the data: the bias from having so few points in
    so many dimensions, most of them near a boundary, under marginals like these. It does not
    correct for curvature, which references do not have, nor for dependence among components.
    Where the variances of components are very unequal a reference's own estimate hardly grows
    with m, and the answer is uncertain, which the interval shows, or at the span, which it does
    not. The answer is at most the linear span.

    The curve from m to the reference's estimate is made to rise (isotonic regression), starts at
    none for no dimensions, and is read backwards by linear interpolation; beyond its end its last
    slope is kept. Each bootstrap draw of the data is read from a draw of the curve, so that what
    is uncertain in the references counts too.

    Args:
        x: [n, columns].
        estimate: of any [n, m].
        dimensions: of the references, ascending; none are made beyond two whose estimates are
            above the interval of the data's.
        progress: told the dimension of each reference.

    Returns:
        nan if all rows are the same or no dimension is within the linear span.
    """
    scores = linear_scores(x)
    span = scores.shape[1]
    own = estimate(scores) if span else None
    used: list[int] = []
    curves: list[np.ndarray] = []
    if own is not None:
        end, above = float(np.percentile(own.draws, 97.5)), 0
        inside = [m for m in dimensions if m <= span]
        for m, reference in zip(inside, references(scores, inside, generator), strict=True):
            if progress is not None:
                progress(f"reference of {counted(m, 'dimension')}")
            value, draws = estimate(reference)
            used.append(m)
            curves.append(np.append(value, draws))
            above += value > end
            if above == ENOUGH_ABOVE:
                break
    if own is None or not used:
        return Bootstrapped(NAN, np.full(DRAWS, NAN))
    targets = np.append(own.value, own.draws)
    read = [
        inverted(used, curve, target, span)
        for curve, target in zip(np.array(curves).T, targets, strict=True)
    ]
    return Bootstrapped(read[0], np.array(read[1:]))


def inverted(
    dimensions: Sequence[int], values: Sequence[float] | np.ndarray, target: float, span: int
) -> float:
    """Where a curve through (0, 0) that is made to rise takes a value; at most the span.

    Args:
        dimensions: ascending and positive.
        values: of the curve at each; those that are nan are left out.
    """
    points = [(m, v) for m, v in zip(dimensions, values, strict=True) if np.isfinite(v)]
    if not points or not np.isfinite(target):
        return NAN
    places, levels = rising(*zip((0.0, 0.0), *points, strict=True))
    if len(places) == 1:
        return float(span)
    if target <= levels[-1]:
        return float(min(span, np.interp(target, levels, places)))
    slope = (places[-1] - places[-2]) / (levels[-1] - levels[-2])
    return float(min(span, places[-1] + slope * (target - levels[-1])))


def rising(places: Sequence[float], levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Isotonic regression, each pool of violators one point at its mean place and level.

    Args:
        places: [n], ascending.
        levels: [n].

    Returns:
        Places and levels, both strictly ascending.
    """
    pools: list[tuple[float, float, int]] = []
    for place, level in zip(places, levels, strict=True):
        pool = (float(place), float(level), 1)
        while pools and pools[-1][1] >= pool[1]:
            p, v, size = pools.pop()
            total = size + pool[2]
            pool = (
                (p * size + pool[0] * pool[2]) / total,
                (v * size + pool[1] * pool[2]) / total,
                total,
            )
        pools.append(pool)
    return np.array([p for p, _, _ in pools]), np.array([v for _, v, _ in pools])
