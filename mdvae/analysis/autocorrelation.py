"""Autocorrelation of sequences, with intervals over sequences."""

from typing import NamedTuple

import numpy as np

from mdvae.analysis.statistics import NAN, student_factor


class Autocorrelation(NamedTuple):
    """By lag from 0 on, [lags + 1] each.

    Attributes:
        values: over all sequences and columns.
        low, high: 95 % interval; nan of a single sequence.
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def autocorrelation(x_NTD: np.ndarray, lags: int) -> Autocorrelation:
    """Autocorrelation of n sequences, [n, points, d], of one law.

    Columns count by their variance, and have one mean over all sequences. Intervals are by the
    jackknife over sequences (Miller, 1974), which may depend on themselves in any way.

    Raises:
        ValueError: where a sequence has no two points so far apart.
    """
    n, points, _ = x_NTD.shape
    if points <= lags:
        raise ValueError(f"lags: {lags} is not usable; it must be below {points}, the points")
    x_NTD = np.asarray(x_NTD, np.float64)
    x_NTD = x_NTD - x_NTD.mean(axis=(0, 1))
    products_NL = np.stack(
        [
            np.einsum("ntd,ntd->n", x_NTD[:, lag:], x_NTD[:, : points - lag]) / (points - lag)
            for lag in range(lags + 1)
        ],
        axis=1,
    )
    total_L = products_NL.sum(axis=0)
    values = total_L / total_L[0]
    if n == 1:
        unknown = np.full(lags + 1, NAN)
        return Autocorrelation(values, unknown, unknown)
    without_NL = total_L - products_NL
    without_NL = without_NL / without_NL[:, :1]
    error = np.sqrt((n - 1) * np.mean((without_NL - without_NL.mean(axis=0)) ** 2, axis=0))
    half = student_factor(n - 1) * error
    return Autocorrelation(values, values - half, values + half)
