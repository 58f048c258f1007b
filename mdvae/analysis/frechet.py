"""The Fréchet distance of two sets of features, and what all distances of sets share.

The distance (Heusel et al. 2017, "GANs trained by a two time-scale update rule", section 4) is
that of the two Gaussians with the sets' means and covariances. What the features are, pixels or
activations of a network, is the caller's choice.
"""

from typing import NamedTuple

import numpy as np

from mdvae.analysis.statistics import CONFIDENCE, NAN

# A covariance kept in single precision has eigenvalues so far below 0, relative to the largest.
NEGATIVE = 1e-5


class Distance(NamedTuple):
    """A distance of two sets and its interval.

    Attributes:
        low, high: 95 % interval for other draws of the samples; nan of fewer than two draws of the
            bootstrap, or where a set has two samples only.
    """

    value: float
    low: float
    high: float


class Moments(NamedTuple):
    """Mean and covariance of features.

    Attributes:
        mean: [f].
        factor: [f, at most f]; the covariance is factor @ factor.T, by n - 1.
        n: how many samples; None where the moments are given ones.
    """

    mean: np.ndarray
    factor: np.ndarray
    n: int | None


def checked(features: np.ndarray) -> np.ndarray:
    """Features in double precision, [n, f].

    Raises:
        ValueError: if they are no finite matrix of two rows or more and a column or more.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2 or features.shape[1] < 1:
        raise ValueError(
            f"features of shape {features.shape} are not usable; the shape must be [n, f] with "
            "n of 2 or more and f of 1 or more"
        )
    if not np.all(np.isfinite(features)):
        raise ValueError("features that are not finite are not usable; every one must be a number")
    return features


def checked_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features in double precision, [n, f] and [m, f].

    Raises:
        ValueError: as `checked`, or if the sets have different f.
    """
    a, b = checked(a), checked(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"sets of {a.shape[1]} and {b.shape[1]} features have no distance; "
            "both must have the same features"
        )
    return a, b


def resamples(n: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """How often each of n samples is in resamples of them, [draws, n].

    Resamples of one sample alone, common only for the smallest sets, have no pairs and no spread,
    and are drawn again. n must be 2 or more.
    """
    counts = np.zeros((draws, n), np.int64)
    for row in counts:
        while np.count_nonzero(row) < 2:
            row[:] = np.bincount(generator.integers(n, size=n), minlength=n)
    return counts


def bootstrap_counts(
    n: int, m: int, draws: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`resamples` of two sets, [draws, n] and [draws, m].

    Two samples would leave one resample: there are no draws of them.

    Raises:
        ValueError: if draws is negative.
    """
    if draws < 0:
        raise ValueError(f"draws: {draws} is not usable; it must be 0 or more")
    if min(n, m) < 3:
        draws = 0
    return resamples(n, draws, generator), resamples(m, draws, generator)


def around(value: float, draws: np.ndarray) -> Distance:
    """A value with an interval from the 2.5 to the 97.5 percentile of draws.

    The deviations of the draws from their own mean are put around the value.

    Args:
        draws: [draws]; fewer than 2 give no interval.
    """
    if len(draws) < 2:
        return Distance(value, NAN, NAN)
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(draws - np.mean(draws), (tail, 100.0 - tail))
    return Distance(value, value + float(low), value + float(high))


def moments(features: np.ndarray) -> Moments:
    """Mean and covariance of features, by n - 1 as in `np.cov`.

    The factor is the triangle of a QR decomposition of the centred features: the covariance is
    never formed, which would lose half the digits of narrow directions, and n may be below f.

    Args:
        features: [n, f].

    Raises:
        ValueError: see `checked`.
    """
    features = checked(features)
    return _weighted_moments(features, np.ones(len(features), np.int64))


def _weighted_moments(features: np.ndarray, counts: np.ndarray) -> Moments:
    """Moments of the set in which each row is so many times, [n]."""
    n = int(counts.sum())
    kept = counts > 0
    rows, counts = features[kept], counts[kept].astype(np.float64)
    mean = counts @ rows / n
    rows -= mean
    rows *= np.sqrt(counts / (n - 1))[:, None]
    return Moments(mean, np.asarray(np.linalg.qr(rows, mode="r")).T, n)


def _quick_moments(features: np.ndarray, counts: np.ndarray) -> Moments:
    """As `_weighted_moments`, by products: directions narrower than 1e-8 of the widest are lost."""
    n = int(counts.sum())
    mean = counts @ features / n
    covariance = features.T @ (features * (counts / (n - 1))[:, None])
    covariance -= n / (n - 1) * np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance)
    return Moments(mean, vectors * np.sqrt(np.maximum(values, 0.0)), n)


def moments_of(mean: np.ndarray, covariance: np.ndarray) -> Moments:
    """Moments from a given mean and covariance, such as published ones.

    Args:
        mean: [f].
        covariance: [f, f], symmetric; eigenvalues below 0 by rounding are taken as 0.

    Raises:
        ValueError: if the shapes do not fit, a number is not finite, or the matrix is not
            symmetric or has eigenvalues further below 0.
    """
    mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    if mean.ndim != 1 or len(mean) < 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            f"a mean of shape {mean.shape} and a covariance of shape {covariance.shape} are not "
            "usable; they must be [f] and [f, f]"
        )
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(covariance))):
        raise ValueError("a mean or covariance that is not finite is not usable")
    skew = np.abs(covariance - covariance.T).max()
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    most = np.abs(values).max()
    if skew > NEGATIVE * most or values[0] < -NEGATIVE * most:
        raise ValueError(
            f"a covariance with the eigenvalue {values[0]:g} and asymmetry {skew:g} is not usable; "
            "it must be symmetric and have none below 0"
        )
    return Moments(mean, vectors * np.sqrt(np.maximum(values, 0.0)), None)


def frechet(a: Moments, b: Moments) -> float:
    """The squared Fréchet distance of two Gaussians (Dowson & Landau 1982; Heusel et al. 2017).

    |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^(1/2)). With S1 = A Aᵀ and S2 = B Bᵀ, the trace of the root
    is the nuclear norm of Bᵀ A = U D Vᵀ, and the second term is |A - B U Vᵀ|², the distance of A
    from the closest turn of B. As a sum of squares it does not cancel near 0 and is never negative.

    Returns:
        In squared units of the features, unscaled, as "FID" is published. Of samples it is biased
        upwards, by about 1/n times a sum over features and their pairs: compare at equal n only.

    Raises:
        ValueError: if the two have different f.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"Gaussians of {len(a.mean)} and {len(b.mean)} features have no distance; "
            "both must have the same features"
        )
    gap = a.mean - b.mean
    width = max(a.factor.shape[1], b.factor.shape[1])
    # Columns of zeros change no covariance, and only a square turn keeps the whole of B.
    first, second = (
        np.pad(moments.factor, ((0, 0), (0, width - moments.factor.shape[1]))) for moments in (a, b)
    )
    u, _, v = np.linalg.svd(second.T @ first)
    rest = first - second @ (u @ v)
    return float(gap @ gap + np.sum(rest * rest))


def frechet_interval(
    features_a: np.ndarray, features_b: np.ndarray, draws: int, generator: np.random.Generator
) -> Distance:
    """`frechet` of two sets of features, as published, with an interval by the bootstrap.

    Rows of both sets are drawn anew. Deviations of the draws from their mean are put around the
    value, since every resample adds the bias of another sampling. The interval is of the spread
    over other samples: the bias of the value itself is not in it, so that equal laws in many
    dimensions have intervals above 0. No end is below 0. A set against itself has the value 0.

    Args:
        features_a: [n, f].
        features_b: [m, f].
        draws: of the bootstrap, each of which costs two products of both sets and three
            decompositions of [f, f].

    Raises:
        ValueError: see `checked_pair` and `bootstrap_counts`.
    """
    a, b = checked_pair(features_a, features_b)
    value = frechet(moments(a), moments(b))
    # Near the origin nothing cancels in the draws' covariances.
    origin = a.mean(axis=0)
    a, b = a - origin, b - origin
    drawn = [
        frechet(_quick_moments(a, of_a), _quick_moments(b, of_b))
        for of_a, of_b in zip(*bootstrap_counts(len(a), len(b), draws, generator), strict=True)
    ]
    found = around(value, np.array(drawn))
    return found._replace(low=np.maximum(found.low, 0.0).item())
