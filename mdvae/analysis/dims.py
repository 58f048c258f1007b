"""Active dimensions from a spectrum: the ratios of encoder to prior variance, one per latent.

A ratio near 0 is a latent that carries information, one near 1 a latent left at the prior.
"""

from typing import NamedTuple

import numpy as np

from mdvae.analysis.statistics import NAN
from mdvae.methods.odds import PRIOR_LEVEL, log_odds

COUNT_DRAWS = 200


class Gap(NamedTuple):
    """The largest gap of a spectrum.

    Attributes:
        ad: active dimensions below the gap, or None where no gap is wide enough.
        low, high: the thresholds between which the count by threshold is constant at the gap.
        width: of the gap, in the units of the scale on which it was looked for.
    """

    ad: int | None
    low: float
    high: float
    width: float


NO_SPECTRUM = Gap(None, NAN, NAN, NAN)


def active_dimensions(ratios: np.ndarray, threshold: float) -> int:
    """Counts ratios below a threshold (CVAE-dims, appendix B, with 0.05).

    Args:
        ratios: [kappa].
    """
    return int(np.sum(np.asarray(ratios) < threshold))


def threshold_curve(ratios: np.ndarray, top: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Active dimensions as a function of the threshold.

    Args:
        ratios: [kappa].
        top: the prior's level; ratios above it are taken to be at it.

    Returns:
        The ends of the intervals on which the count is constant, ascending and ending at the
        prior's level, [kappa + 1]; and the count just above each but the last, [kappa].
    """
    edges = np.append(np.sort(np.minimum(np.asarray(ratios, np.float64), top)), top)
    return edges, np.arange(1, len(edges))


def largest_gap(ratios: np.ndarray, min_gap: float) -> Gap:
    """Active dimensions by the largest gap of the sorted log odds of the ratios.

    Log ratios alone would stretch the end of the active latents, and set those apart that differ
    among themselves by orders of magnitude, while a latent that most samples use and the others
    do not, with a ratio of 0.3, would be next to those at the prior. In log odds it is not.

    Ratios are capped at the prior's level, which is the spectrum's top as well, so that a model
    which uses all its latents is seen as such, and one all of whose latents are at that level has
    none.

    Args:
        ratios: [kappa], positive.
        min_gap: least width in nats; below it there is no gap.
    """
    edges, counts = threshold_curve(ratios, PRIOR_LEVEL)
    if not np.all(np.isfinite(edges)) or edges[0] <= 0.0:
        return NO_SPECTRUM
    if edges[0] == PRIOR_LEVEL:
        return Gap(0, 0.0, PRIOR_LEVEL, float("inf"))
    return _widest(edges, counts, log_odds(edges), min_gap)


def largest_log_gap(ratios: np.ndarray, min_gap: float) -> Gap:
    """Active dimensions by the largest gap of the sorted log ratios, with 1 as the top.

    The rule before `largest_gap`, kept beside it for comparison. It cannot answer 0.
    """
    edges, counts = threshold_curve(ratios)
    if not np.all(np.isfinite(edges)) or edges[0] <= 0.0:
        return NO_SPECTRUM
    return _widest(edges, counts, np.log(edges), min_gap)


def _widest(edges: np.ndarray, counts: np.ndarray, places: np.ndarray, min_gap: float) -> Gap:
    """The widest interval between neighbouring edges, on a scale that gives them their places."""
    widths = np.diff(places)
    best = int(np.argmax(widths))
    width = float(widths[best])
    ad = int(counts[best]) if width >= min_gap else None
    return Gap(ad, float(edges[best]), float(edges[best + 1]), width)


def count_intervals(
    ratio_blocks: np.ndarray, threshold: float, min_gap: float
) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Between which counts both rules would be on other evaluation samples: 95 % bootstrap ends.

    That is the counts of one trained model; what another training would give is not in them.

    Args:
        ratio_blocks: [kappa, blocks], ratios averaged over blocks of the samples.

    Returns:
        Lowest and highest count by the threshold, and by the gap rule (None where most draws
        have no gap).
    """
    generator = np.random.default_rng(0)
    n_blocks = ratio_blocks.shape[1]
    picks = generator.integers(n_blocks, size=(COUNT_DRAWS, n_blocks))
    drawn = ratio_blocks[:, picks].mean(axis=2).T
    counts = [active_dimensions(ratios, threshold) for ratios in drawn]
    gaps = [gap for ratios in drawn if (gap := largest_gap(ratios, min_gap).ad) is not None]
    enough = len(gaps) > COUNT_DRAWS / 2
    return _ends(counts), _ends(gaps) if enough else None


def _ends(counts: list[int]) -> tuple[int, int]:
    low, high = np.quantile(counts, (0.025, 0.975), method="nearest")
    return int(low), int(high)
