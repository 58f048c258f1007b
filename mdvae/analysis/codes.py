"""How far the codes of data are from having independent latents: their off-diagonal covariance.

LMGAE (Mondal et al., "Towards Latent Space Optimality for Auto-Encoder Based Generative Models",
Table 2) reports the average off-diagonal covariance of codes, over latents that are in use, and
does not say whether of its absolute values: both are given here.
"""

from typing import NamedTuple

import numpy as np

from mdvae.analysis.frechet import Distance, around, checked, resamples
from mdvae.analysis.statistics import NAN


class OffDiagonal(NamedTuple):
    """Covariances of different latents, means over all pairs; nan of fewer than two latents.

    Attributes:
        mean_abs: of absolute values, with its interval for other samples.
        mean: signed.
    """

    mean_abs: Distance
    mean: float


def _pair_means(covariance: np.ndarray) -> tuple[float, float]:
    """Means of the entries off the diagonal of a symmetric matrix: absolute, and signed."""
    k = len(covariance)
    entries = covariance[~np.eye(k, dtype=bool)]
    return float(np.abs(entries).mean()), float(entries.mean())


def off_diagonal(codes: np.ndarray, draws: int, generator: np.random.Generator) -> OffDiagonal:
    """The mean covariance, by n - 1, of two different latents.

    Of independent latents of variance 1 the mean of absolute values is about sqrt(2 / (pi n)).

    Args:
        codes: [n, kappa], of n of 2 or more.
        draws: of the bootstrap of the samples; 0 gives no interval.

    Raises:
        ValueError: see `frechet.checked`.
    """
    if np.shape(codes)[1] < 2:
        return OffDiagonal(Distance(NAN, NAN, NAN), NAN)
    codes = checked(codes)
    codes = codes - codes.mean(axis=0)
    n = len(codes)
    mean_abs, mean = _pair_means(codes.T @ codes / (n - 1))
    drawn = []
    for counts in resamples(n, draws, generator):
        centre = counts @ codes / n
        second = (codes * counts[:, None]).T @ codes
        drawn.append(_pair_means((second - n * np.outer(centre, centre)) / (n - 1))[0])
    found = around(mean_abs, np.array(drawn))
    return OffDiagonal(found._replace(low=np.maximum(found.low, 0.0).item()), mean)
